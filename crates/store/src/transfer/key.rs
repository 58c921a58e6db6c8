//! The keys of rows in their sections.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Key;
use crate::codec::Unreadable;

/// Of a row with an id.
pub fn of_id(id: i64) -> Key {
    id.to_be_bytes().to_vec()
}

/// The id to go on behind; no row has a negative one.
pub fn to_id(after: Option<&Key>) -> Result<i64, Unreadable> {
    let Some(key) = after else { return Ok(-1) };
    key.as_slice().try_into().map(i64::from_be_bytes).map_err(|_| unreadable())
}

/// Of an event type: its tenant and its name.
pub fn of_pair(first: &str, second: &str) -> Key {
    [first.as_bytes(), &[0], second.as_bytes()].concat()
}

/// Nothing stands before two empty texts.
pub fn to_pair(after: Option<&Key>) -> Result<(String, String), Unreadable> {
    let Some(key) = after else { return Ok(Default::default()) };
    let text = std::str::from_utf8(key).map_err(|_| unreadable())?;
    let (first, second) = text.split_once('\0').ok_or_else(unreadable)?;
    Ok((first.to_owned(), second.to_owned()))
}

/// Of a row that is found by several columns.
pub fn of_columns(columns: &impl Serialize) -> Key {
    postcard::to_stdvec(columns).expect("a key can be written to memory")
}

pub fn to_columns<T: DeserializeOwned>(after: Option<&Key>) -> Result<Option<T>, Unreadable> {
    after.map(|key| postcard::from_bytes(key).map_err(|_| unreadable())).transpose()
}

fn unreadable() -> Unreadable {
    Unreadable { what: "move", why: "its place is of another section".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_back() {
        assert_eq!(to_id(Some(&of_id(77))), Ok(77));
        assert_eq!(to_id(None), Ok(-1));
        assert!(to_id(Some(&vec![1])).is_err());
        assert_eq!(to_pair(Some(&of_pair("org", "a.b"))), Ok(("org".to_owned(), "a.b".to_owned())));
        assert!(to_pair(Some(&vec![1])).is_err());
        let columns = (7_u64, "a.b".to_owned());
        assert_eq!(to_columns(Some(&of_columns(&columns))), Ok(Some(columns)));
        assert_eq!(to_columns::<u64>(None), Ok(None));
        assert!(to_columns::<(u64, String)>(Some(&vec![1])).is_err());
    }
}
