//! What a task has found out so far: an object of lists, written with the cursor, so that nothing stands there twice.

use serde_json::{Map, Value};

/// Entries for one list of a result.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Found {
    pub(super) list: &'static str,
    pub(super) entries: Vec<Value>,
    /// What is beyond is only counted, under the name that follows.
    pub(super) listed_max: usize,
    pub(super) count: &'static str,
}

/// What a page adds to the result of its task.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Yield {
    #[default]
    Nothing,
    Lists(Vec<Found>),
    /// All of it.
    Whole(String),
}

impl Yield {
    pub(super) fn add_to(self, result: &mut Option<String>) {
        match self {
            Self::Nothing => {}
            Self::Whole(whole) => *result = Some(whole),
            Self::Lists(lists) => {
                let before = result.as_deref().and_then(|before| serde_json::from_str::<Map<String, Value>>(before).ok());
                let mut all = before.unwrap_or_default();
                for found in lists {
                    found.add_to(&mut all);
                }
                *result = Some(Value::Object(all).to_string());
            }
        }
    }
}

impl Found {
    fn add_to(self, all: &mut Map<String, Value>) {
        let count = all.get(self.count).and_then(Value::as_u64).unwrap_or_default() + self.entries.len() as u64;
        // It is there also if it stays empty.
        if let Value::Array(list) = all.entry(self.list).or_insert_with(|| Value::Array(Vec::new())) {
            let room = self.listed_max.saturating_sub(list.len());
            list.extend(self.entries.into_iter().take(room));
        }
        all.insert(self.count.to_owned(), count.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(result: &Option<String>) -> Value {
        serde_json::from_str(result.as_deref().unwrap()).unwrap()
    }

    fn found(entries: &[u64]) -> Yield {
        let entries = entries.iter().map(|number| Value::from(*number)).collect();
        Yield::Lists(vec![Found { list: "found", entries, listed_max: 3, count: "foundCount" }])
    }

    #[test]
    fn lists_grow_up_to_their_bound_and_are_counted_beyond() {
        let mut result = None;
        found(&[]).add_to(&mut result);
        assert_eq!(read(&result), json!({ "found": [], "foundCount": 0 }));
        found(&[1, 2]).add_to(&mut result);
        found(&[3, 4]).add_to(&mut result);
        Yield::Nothing.add_to(&mut result);
        assert_eq!(read(&result), json!({ "found": [1, 2, 3], "foundCount": 4 }));
        Yield::Whole("{}".into()).add_to(&mut result);
        assert_eq!(result.as_deref(), Some("{}"));
    }
}
