//! The nearest known name, for hints.

use super::wording::list;

/// Longest text for which a nearest name is looked for, in characters: nobody mistypes a longer one, and the comparison
/// takes time in proportion to its square.
const CHARS_MAX: usize = 64;

/// The name nearest to `text`, if one is near enough to be what was meant.
///
/// Near enough is one edit for three characters of the text; a difference in case alone always is.
pub(crate) fn nearest<'n>(text: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let wanted: Vec<char> = text.chars().take(CHARS_MAX + 1).flat_map(char::to_lowercase).collect();
    if wanted.len() > CHARS_MAX {
        return None;
    }
    let allowed = (wanted.len() / 3).max(1);
    names
        .into_iter()
        .filter(|name| name.len() <= 4 * CHARS_MAX)
        .map(|name| (distance(&wanted, &name.chars().flat_map(char::to_lowercase).collect::<Vec<_>>()), name))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// "did you mean …?" for the nearest name; else the known names, as long as they are few.
pub(super) fn hint<'n>(text: &str, names: impl IntoIterator<Item = &'n str> + Clone) -> Option<String> {
    /// More names than this do not help.
    const NAMES_MAX: usize = 15;
    if let Some(name) = nearest(text, names.clone()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let known: Vec<&str> = names.into_iter().take(NAMES_MAX + 1).collect();
    (1..=NAMES_MAX).contains(&known.len()).then(|| format!("known here: {}", list(known)))
}

/// Edits between two texts: insertions, deletions, replacements, and neighbours swapped (optimal string alignment).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut edits = (last[j] + usize::from(a != b)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                edits = edits.min(before_last[j - 1] + 1);
            }
            row.push(edits);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant_and_nothing_far_fetched() {
        let names = ["acls", "authentication", "authorization", "clusters"];
        assert_eq!(nearest("acl", names), Some("acls"));
        assert_eq!(nearest("authorisation", names), Some("authorization"));
        assert_eq!(nearest("ACLS", names), Some("acls"));
        assert_eq!(nearest("clutsers", names), Some("clusters"));
        assert_eq!(nearest("password", names), None);
        assert_eq!(nearest(&"x".repeat(10_000), names), None);
    }
}
