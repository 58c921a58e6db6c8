// Package standardwebhooks stands in for the library of that name where no Go modules can be fetched: the part of its
// interface that the example uses, so that the example can be compiled and run. Not for anything else.
package standardwebhooks

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const tolerance = 5 * time.Minute

// Webhook verifies what was signed with one secret.
type Webhook struct{ key []byte }

// NewWebhook reads a secret with or without its prefix.
func NewWebhook(secret string) (*Webhook, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return nil, err
	}
	return &Webhook{key}, nil
}

// Verify returns nil when one of the signatures is right and the time is near.
func (w *Webhook) Verify(payload []byte, headers http.Header) error {
	id, at := headers.Get("webhook-id"), headers.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if id == "" || err != nil {
		return errors.New("missing required headers")
	}
	if age := time.Since(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return errors.New("timestamp is too far away")
	}
	mac := hmac.New(sha256.New, w.key)
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(payload)
	expected := mac.Sum(nil)
	for _, signature := range strings.Split(headers.Get("webhook-signature"), " ") {
		given, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signature, "v1,"))
		if err == nil && hmac.Equal(given, expected) {
			return nil
		}
	}
	return errors.New("no matching signature found")
}
