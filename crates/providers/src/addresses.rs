//! From which addresses providers send, as far as they publish it. A snapshot: a list that is older than a change of the provider keeps its webhooks
//! out, so whoever uses one shows its day and can replace it.
//!
//! Each row has the page of the provider on which the list stands, and the last day of which it is known that it stood there like this. Providers that
//! publish none, or only names to be resolved, or the addresses of a whole cloud, have no row.

use ipnet::IpNet;

/// The addresses of one sender.
#[derive(Debug, PartialEq, Eq)]
pub struct AddressList {
    /// As in the rules of a source: the name of the provider, where it has one.
    pub name: &'static str,
    /// The page or file in which the provider publishes the list.
    pub published_at: &'static str,
    /// The last day on which it is known to have been the published one: `2026-10-29`.
    pub as_of: &'static str,
    networks: &'static [&'static str],
}

impl AddressList {
    pub fn networks(&self) -> Vec<IpNet> {
        self.networks.iter().filter_map(|network| network.parse().ok()).collect()
    }
}

/// All lists, by name.
pub fn address_lists() -> &'static [AddressList] {
    ADDRESS_LISTS
}

const ADDRESS_LISTS: &[AddressList] = &[
    // The field `hooks`.
    AddressList {
        name: "github",
        published_at: "https://api.github.com/meta",
        as_of: "2026-10-29",
        networks: &[
            "9.234.98.160/28",
            "9.234.98.176/28",
            "9.234.106.48/28",
            "140.82.112.0/20",
            "143.55.64.0/20",
            "185.199.108.0/22",
            "192.30.252.0/22",
            "2606:50c0::/32",
            "2a0a:a440::/29",
        ],
    },
    // GitLab.com, and not what somebody runs.
    AddressList {
        name: "gitlab",
        published_at: "https://docs.gitlab.com/user/gitlab_com/#ip-range",
        as_of: "2026-09-07",
        networks: &["34.74.90.64/28", "34.74.226.0/24"],
    },
    AddressList {
        name: "linear",
        published_at: "https://linear.app/.well-known/appspecific/app.linear.ips.json",
        as_of: "2026-10-08",
        networks: &[
            "34.38.87.206/32",
            "34.48.40.158/32",
            "34.60.255.158/32",
            "34.62.119.29/32",
            "34.134.222.122/32",
            "34.140.253.14/32",
            "34.185.239.137/32",
            "34.186.126.124/32",
            "35.196.141.51/32",
            "35.222.25.142/32",
            "35.231.147.226/32",
            "35.236.218.67/32",
            "35.243.134.228/32",
            "35.246.206.27/32",
            "35.246.210.220/32",
        ],
    },
    AddressList {
        name: "paddle",
        published_at: "https://developer.paddle.com/webhooks/about/respond-to-webhooks",
        as_of: "2026-07-02",
        networks: &["34.195.105.136/32", "34.212.5.7/32", "34.232.58.13/32", "34.237.3.244/32", "35.155.119.135/32", "52.11.166.252/32"],
    },
    AddressList {
        name: "paddle_sandbox",
        published_at: "https://developer.paddle.com/webhooks/about/respond-to-webhooks",
        as_of: "2026-07-02",
        networks: &[
            "3.208.120.145/32",
            "34.194.127.46/32",
            "44.226.236.210/32",
            "44.241.183.62/32",
            "54.234.237.108/32",
            "100.20.172.113/32",
        ],
    },
    // Both of its regions.
    AddressList {
        name: "pagerduty",
        published_at: "https://support.pagerduty.com/docs/safelist-ips#webhooks",
        as_of: "2026-09-28",
        networks: &[
            "3.126.25.87/32",
            "13.56.49.27/32",
            "18.158.120.237/32",
            "18.158.199.216/32",
            "18.192.91.93/32",
            "18.194.177.30/32",
            "18.197.187.16/32",
            "34.210.57.30/32",
            "34.210.242.134/32",
            "34.250.91.200/32",
            "35.86.21.47/32",
            "44.238.89.29/32",
            "44.242.69.192/32",
            "52.34.208.156/32",
            "52.88.94.18/32",
            "52.89.71.166/32",
            "52.213.188.110/32",
            "54.76.3.62/32",
            "54.76.225.71/32",
            "54.170.2.90/32",
            "54.176.72.216/32",
            "54.177.81.67/32",
            "54.195.179.238/32",
            "54.213.187.133/32",
            "54.241.68.46/32",
        ],
    },
    AddressList {
        name: "paystack",
        published_at: "https://paystack.com/docs/payments/webhooks/",
        as_of: "2026-10-08",
        networks: &["52.31.139.75/32", "52.49.173.169/32", "52.214.14.220/32"],
    },
    AddressList {
        name: "plaid",
        published_at: "https://plaid.com/docs/api/webhooks/",
        as_of: "2026-10-08",
        networks: &["52.21.26.131/32", "52.21.47.157/32", "52.41.247.19/32", "52.88.82.239/32"],
    },
    AddressList {
        name: "postmark",
        published_at: "https://postmarkapp.com/support/article/800-ips-for-firewalls",
        as_of: "2026-09-03",
        networks: &["3.134.147.250/32", "18.217.206.57/32", "50.31.156.6/32", "50.31.156.77/32"],
    },
    AddressList {
        name: "resend",
        published_at: "https://resend.com/docs/webhooks/introduction",
        as_of: "2026-09-03",
        networks: &["44.228.126.217/32", "50.112.21.217/32", "52.24.126.164/32", "54.148.139.208/32", "2600:1f24:64:8000::/52"],
    },
    // Requests that Sentry's own service makes, in both of its regions.
    AddressList {
        name: "sentry",
        published_at: "https://docs.sentry.io/security-legal-pii/security/ip-ranges/",
        as_of: "2026-05-04",
        networks: &[
            "34.141.4.162/32",
            "34.141.31.19/32",
            "35.184.238.160/32",
            "35.234.78.236/32",
            "104.155.149.19/32",
            "104.155.159.182/32",
            "130.211.230.102/32",
        ],
    },
    AddressList {
        name: "square",
        published_at: "https://developer.squareup.com/docs/webhooks/overview",
        as_of: "2026-10-08",
        networks: &["34.202.99.168/32", "54.245.1.154/32"],
    },
    AddressList {
        name: "square_sandbox",
        published_at: "https://developer.squareup.com/docs/webhooks/overview",
        as_of: "2026-10-08",
        networks: &["54.212.177.79/32", "107.20.218.8/32"],
    },
    AddressList {
        name: "stripe",
        published_at: "https://stripe.com/files/ips/ips_webhooks.txt",
        as_of: "2026-05-15",
        networks: &[
            "3.18.12.63/32",
            "3.69.109.8/32",
            "3.120.168.93/32",
            "3.130.192.231/32",
            "13.235.14.237/32",
            "13.235.122.149/32",
            "18.211.135.69/32",
            "35.154.171.200/32",
            "35.157.207.129/32",
            "52.15.183.38/32",
            "54.88.130.119/32",
            "54.88.130.237/32",
            "54.187.174.169/32",
            "54.187.205.235/32",
            "54.187.216.72/32",
        ],
    },
    // All of its regions. Who sends through Svix sends from here, but says whether it does.
    AddressList {
        name: "svix",
        published_at: "https://docs.svix.com/receiving/source-ips",
        as_of: "2026-08-04",
        networks: &[
            "3.96.105.27/32",
            "3.98.68.230/32",
            "13.126.41.108/32",
            "13.239.204.236/32",
            "15.207.218.84/32",
            "44.228.126.217/32",
            "50.112.21.217/32",
            "52.24.126.164/32",
            "52.60.44.49/32",
            "52.215.16.239/32",
            "54.66.246.217/32",
            "54.90.7.123/32",
            "54.148.139.208/32",
            "54.164.207.221/32",
            "54.216.8.72/32",
            "54.252.65.96/32",
            "63.33.109.123/32",
            "65.2.133.31/32",
            "2406:da2c:13:4000::/56",
            "2600:1f21:1c:4000::/56",
            "2600:1f24:64:8000::/56",
            "2600:1f28:37:4000::/56",
            "2a05:d028:17:8000::/56",
        ],
    },
    AddressList {
        name: "telegram",
        published_at: "https://core.telegram.org/bots/webhooks",
        as_of: "2026-09-30",
        networks: &["91.108.4.0/22", "149.154.160.0/20"],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_in_order_and_each_is_made_of_networks() {
        assert!(ADDRESS_LISTS.is_sorted_by(|a, b| a.name < b.name));
        for list in ADDRESS_LISTS {
            let name = list.name;
            let networks = list.networks();
            assert_eq!(networks.len(), list.networks.len(), "{name}: what is no network would be left out");
            assert!(networks.iter().all(|network| network.trunc() == *network), "{name}: an address where a network belongs");
            assert!(networks.is_sorted_by(|a, b| a < b), "{name}: twice, or out of order");
            // Shorter than anybody has, so more likely a slip.
            assert!(networks.iter().all(|network| network.prefix_len() >= if network.addr().is_ipv4() { 16 } else { 28 }), "{name}");
            assert!(list.published_at.starts_with("https://"), "{name}");
            let day: Vec<_> = list.as_of.split('-').map(str::len).collect();
            assert!(day == [4, 2, 2] && list.as_of.starts_with("20"), "{name}: {}", list.as_of);
        }
    }
}
