//! The one place where an error is printed with its sources.

/// Displays an error and its sources, joined by `: `. No `Display` of ours prints its own source.
pub struct Chain<'a>(pub &'a (dyn std::error::Error + 'static));

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn prints_every_source_once() {
        let expected = format!("outer: {}", std::fmt::Error);
        assert_eq!(Chain(&Outer(std::fmt::Error)).to_string(), expected);
    }
}
