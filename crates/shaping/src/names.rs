//! The names that providers give to things, in the characters that ours may have.

use hookpost_domain::{Channel, EventTypeName, limits};

/// The event type of a message from what a provider calls it: `/` and `:` separate as `.` does, any other character that a name cannot have
/// becomes `_`. `orders/create` is `orders.create`, `Order Paid` is `Order_Paid`. `None` where nothing is left.
pub fn event_type_name(text: &str) -> Option<EventTypeName> {
    let text = text.trim();
    if let Ok(name) = EventTypeName::parse(text) {
        return Some(name);
    }
    let written = replaced(text, limits::NAME_CHARS_MAX, |c| match c {
        '/' | ':' => '.',
        c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') => c,
        _ => '_',
    });
    EventTypeName::parse(&written).ok()
}

/// The same for channels, which may have `:` and `+`.
pub fn channel(text: &str) -> Option<Channel> {
    let text = text.trim();
    if let Ok(channel) = Channel::parse(text) {
        return Some(channel);
    }
    let written = replaced(text, limits::CHANNEL_CHARS_MAX, |c| match c {
        '/' => '.',
        c if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':' | '+') => c,
        _ => '_',
    });
    Channel::parse(&written).ok()
}

fn replaced(text: &str, chars_max: usize, replace: impl Fn(char) -> char) -> String {
    text.chars().take(chars_max).map(replace).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_names_stay_readable() {
        for (theirs, ours) in [
            ("invoice.paid", "invoice.paid"),
            ("orders/create", "orders.create"),
            ("repo:push", "repo.push"),
            (" Order Paid ", "Order_Paid"),
            ("naïve", "na_ve"),
            ("a/b:c d\te", "a.b.c_d_e"),
        ] {
            assert_eq!(event_type_name(theirs).unwrap().as_str(), ours);
        }
        assert_eq!(event_type_name(&"ü".repeat(500)).unwrap().as_str().len(), limits::NAME_CHARS_MAX);
        assert_eq!(event_type_name("  "), None);
        assert_eq!(channel("project:7+a").unwrap().as_str(), "project:7+a");
        assert_eq!(channel("owner/repo").unwrap().as_str(), "owner.repo");
        assert_eq!(channel(""), None);
    }
}
