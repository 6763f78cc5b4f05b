//! Rust source as far as the rules need it: words and signs without comments and texts, the paths they form, and which of
//! them only tests compile. A parser would be another dependency; macros, which it could not see into, are read here like
//! everything else.

use std::ops::Range;

/// A word, a number, a lifetime, `::`, or one other sign; a text or character literal is `""`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    /// Counted from 1.
    pub line: usize,
}

/// A path as it is written, with groups unfolded: `use a::{b, c::d}` gives `a::b` and `a::c::d`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourcePath {
    pub segments: Vec<String>,
    /// Where its first token stands among the tokens.
    pub position: usize,
    /// Line of its last segment.
    pub line: usize,
}

/// A file split into tokens.
pub struct Source {
    pub tokens: Vec<Token>,
}

impl Source {
    pub fn read(text: &str) -> Self {
        let mut lexer = Lexer { rest: text, line: 1, tokens: Vec::new() };
        while lexer.step() {}
        Self { tokens: lexer.tokens }
    }

    /// Whether `words` stand at `position`.
    pub fn has(&self, position: usize, words: &[&str]) -> bool {
        self.tokens
            .get(position..position + words.len())
            .is_some_and(|tokens| tokens.iter().zip(words).all(|(token, word)| token.text == *word))
    }

    /// Where `words` stand.
    pub fn find<'a>(&'a self, words: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
        (0..self.tokens.len()).filter(move |&position| self.has(position, words))
    }

    /// All paths, single words included, in order.
    pub fn paths(&self) -> Vec<SourcePath> {
        let mut paths = Vec::new();
        let mut position = 0;
        while position < self.tokens.len() {
            let continues = position > 0 && self.tokens[position - 1].text == "." || !self.is_word(position);
            let next = if continues { position } else { self.path_at(position, &[], position, &mut paths) };
            position = next.max(position + 1);
        }
        paths
    }

    /// Ranges of tokens under `#[cfg(test)]`, each from the attribute to the end of its item.
    pub fn test_ranges(&self) -> Vec<Range<usize>> {
        let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
        self.find(&attribute).map(|start| start..self.end_of_item(start + attribute.len())).collect()
    }

    /// Ranges of the bodies of modules that are written inside this file.
    pub fn inline_modules(&self) -> Vec<Range<usize>> {
        let is_inline = |position: &usize| self.is_word(position + 1) && self.has(position + 2, &["{"]);
        self.find(&["mod"]).filter(is_inline).map(|start| start + 2..self.end_of_item(start)).collect()
    }

    fn is_word(&self, position: usize) -> bool {
        self.tokens.get(position).is_some_and(|token| token.text.starts_with(is_word_start))
    }

    /// Reads the path that begins at `position` below `prefix`; returns the position after it.
    fn path_at(&self, first: usize, prefix: &[String], mut position: usize, paths: &mut Vec<SourcePath>) -> usize {
        let mut segments = prefix.to_vec();
        loop {
            if self.has(position, &["{"]) {
                return self.group_at(first, &segments, position, paths);
            }
            if !self.is_word(position) && !self.has(position, &["*"]) {
                break; // `Vec::<u8>::new`: what follows the generics is not of interest.
            }
            // `self` in a group means the group's own path.
            if segments.is_empty() || self.tokens[position].text != "self" {
                segments.push(self.tokens[position].text.clone());
            }
            position += 1;
            if !self.has(position, &["::"]) {
                break;
            }
            position += 1;
        }
        let line = self.tokens[(position - 1).min(self.tokens.len() - 1)].line;
        paths.push(SourcePath { segments, position: first, line });
        position
    }

    fn group_at(&self, first: usize, prefix: &[String], open: usize, paths: &mut Vec<SourcePath>) -> usize {
        let mut position = open + 1;
        while position < self.tokens.len() && !self.has(position, &["}"]) {
            let next = self.path_at(first, prefix, position, paths);
            position = next.max(position + 1);
            while position < self.tokens.len() && !self.has(position, &[","]) && !self.has(position, &["}"]) {
                position += 1; // `as name`
            }
            if self.has(position, &[","]) {
                position += 1;
            }
        }
        position + 1
    }

    /// The position after the item at `start`: after its first `;` outside brackets, or its closing brace.
    fn end_of_item(&self, start: usize) -> usize {
        let mut depth = 0_usize;
        for (position, token) in self.tokens.iter().enumerate().skip(start) {
            match token.text.as_str() {
                "{" | "(" | "[" => depth += 1,
                "}" if depth == 1 => return position + 1,
                "}" | ")" | "]" => depth = depth.saturating_sub(1),
                ";" if depth == 0 => return position + 1,
                _ => {}
            }
        }
        self.tokens.len()
    }
}

fn is_word_start(character: char) -> bool {
    character == '_' || character.is_alphabetic()
}

fn is_word_part(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    /// Takes the next token or gap; `false` at the end.
    fn step(&mut self) -> bool {
        let Some(character) = self.rest.chars().next() else { return false };
        if character.is_whitespace() {
            self.skip(character.len_utf8());
        } else if self.rest.starts_with("//") {
            self.skip(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.skip_block_comment();
        } else if let Some(length) = raw_text(self.rest).or_else(|| quoted_text(self.rest)) {
            self.push("\"\"".to_owned());
            self.skip(length);
        } else if character.is_ascii_digit() {
            self.take(self.rest.find(|part| !is_word_part(part)).unwrap_or(self.rest.len()));
        } else if is_word_start(character) {
            let length = self.rest.find(|part| !is_word_part(part)).unwrap_or(self.rest.len());
            if &self.rest[..length] == "r" && self.rest[length..].starts_with('#') {
                self.skip(2); // the `r#` of a raw word
            } else {
                self.take(length);
            }
        } else if self.rest.starts_with("::") {
            self.take(2);
        } else {
            self.take(character.len_utf8());
        }
        true
    }

    fn take(&mut self, length: usize) {
        self.push(self.rest[..length].to_owned());
        self.skip(length);
    }

    fn push(&mut self, text: String) {
        self.tokens.push(Token { text, line: self.line });
    }

    fn skip(&mut self, length: usize) {
        self.line += self.rest[..length].matches('\n').count();
        self.rest = &self.rest[length..];
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.skip(2);
            } else if let Some(character) = self.rest.chars().next() {
                self.skip(character.len_utf8());
            } else {
                return;
            }
            if depth == 0 {
                return;
            }
        }
    }
}

/// Length of a raw text (`r"…"`, `br#"…"#`, `cr"…"`) at the beginning of `rest`.
fn raw_text(rest: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"]
        .into_iter()
        .find(|prefix| rest.strip_prefix(prefix).is_some_and(|after| after.trim_start_matches('#').starts_with('"')))?;
    let after = &rest[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let body = prefix.len() + hashes + 1;
    Some(rest[body..].find(&end).map_or(rest.len(), |length| body + length + end.len()))
}

/// Length of a text or a character (`"…"`, `b"…"`, `'x'`) at the beginning of `rest`; a lifetime is neither.
fn quoted_text(rest: &str) -> Option<usize> {
    let prefix = usize::from(rest.starts_with("b\"") || rest.starts_with("c\"") || rest.starts_with("b'"));
    let mut characters = rest[prefix..].char_indices();
    let (_, quote) = characters.next().filter(|(_, quote)| matches!(quote, '"' | '\''))?;
    if quote == '\'' {
        let mut ahead = rest[prefix + 1..].chars();
        let is_character = ahead.next() == Some('\\') || ahead.next() == Some('\'');
        if !is_character {
            return None;
        }
    }
    let mut escaped = false;
    for (position, character) in characters {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return Some(prefix + position + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Source::read(text).tokens.into_iter().map(|token| token.text).collect()
    }

    fn paths(text: &str) -> Vec<String> {
        Source::read(text).paths().into_iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn comments_and_texts_are_no_words() {
        assert_eq!(words("a /* b /* c */ d */ e // f\ng"), ["a", "e", "g"]);
        assert_eq!(words(r##"("x\"y", r#"z"z"#, b"w", '\'', 'q', b'"', 'static)"##).join(" "), {
            r#"( "" , "" , "" , "" , "" , "" , ' static )"#
        });
        assert_eq!(Source::read("\"a\nb\"\nc").tokens[1].line, 3);
    }

    #[test]
    fn groups_unfold() {
        assert_eq!(
            paths("use a::{self, b, c::{d as e, f::*}, g};"),
            ["use", "a", "a::b", "a::c::d", "a::c::f::*", "a::g"]
        );
        assert_eq!(paths("x.y(::std::fs::read(z))"), ["x", "std::fs::read", "z"]);
        assert_eq!(paths("Vec::<u8>::new()"), ["Vec", "u8", "new"]);
        assert_eq!(paths("match a { B::C { d } => e }"), ["match", "a", "B::C", "d", "e"]);
    }

    #[test]
    fn test_items_end_where_they_end() {
        let source = Source::read("a #[cfg(test)] mod t { b { c } } d #[cfg(test)] use e; f");
        let outside: Vec<&str> = (0..source.tokens.len())
            .filter(|position| !source.test_ranges().iter().any(|range| range.contains(position)))
            .map(|position| source.tokens[position].text.as_str())
            .collect();
        assert_eq!(outside, ["a", "d", "f"]);
    }
}
