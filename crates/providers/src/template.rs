//! Text with holes: `v0:{timestamp}:{body}`. Splits, and knows nothing of what the holes mean.

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece<'t> {
    Text(&'t str),
    Hole(&'t str),
}

pub(crate) fn split(template: &str) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('{') {
        let (hole, after) = after.split_once('}').ok_or_else(|| format!("has a `{{` without `}}`: `{template}`"))?;
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        pieces.push(Piece::Hole(hole));
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest));
    }
    Ok(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits() {
        assert_eq!(
            split("v0:{timestamp}:{body}").unwrap(),
            [Piece::Text("v0:"), Piece::Hole("timestamp"), Piece::Text(":"), Piece::Hole("body")]
        );
        assert_eq!(split("").unwrap(), []);
        assert!(split("{body").is_err());
    }
}
