// Signs with the providers' own SDKs: a request as JSON in each line of the standard input, the headers it gets in each line of the
// standard output. Knows nothing of Hookpost.

import { createInterface } from "node:readline";

import { Signature as HubSpot } from "@hubspot/api-client";
import { sign as signForGitHub } from "@octokit/webhooks-methods";
import "@shopify/shopify-api/adapters/node";
import { createSHA256HMAC } from "@shopify/shopify-api/runtime";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import twilio from "twilio";

const stripe = new Stripe("sk_test_of_nobody");

const standard = (Webhook, prefix) => ({ secret, id, body }) => {
  const at = new Date();
  return {
    [`${prefix}-id`]: id,
    [`${prefix}-timestamp`]: String(Math.floor(at.getTime() / 1000)),
    [`${prefix}-signature`]: new Webhook(secret).sign(id, at, body),
  };
};

const hubspot = (version) => ({ secret, url, body }) => {
  const timestamp = Date.now();
  const signature = HubSpot.getSignature("POST", version, { clientSecret: secret, requestBody: body, url, timestamp });
  return version === "v3"
    ? { "x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": String(timestamp) }
    : { "x-hubspot-signature": signature, "x-hubspot-signature-version": version };
};

const signers = {
  stripe: ({ secret, body }) => ({ "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload: body, secret }) }),
  github: async ({ secret, body }) => ({ "x-hub-signature-256": await signForGitHub(secret, body) }),
  shopify: async ({ secret, body }) => ({ "x-shopify-hmac-sha256": await createSHA256HMAC(secret, body) }),
  twilio: ({ secret, url, body }) => ({
    "x-twilio-signature": twilio.getExpectedTwilioSignature(secret, url, Object.fromEntries(new URLSearchParams(body))),
  }),
  hubspot_v1: hubspot("v1"),
  hubspot_v2: hubspot("v2"),
  hubspot_v3: hubspot("v3"),
  standard_webhooks: standard(StandardWebhook, "webhook"),
  svix: standard(SvixWebhook, "svix"),
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  process.stdout.write(`${JSON.stringify(await signers[request.sdk](request))}\n`);
}
