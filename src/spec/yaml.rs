//! Reads YAML text into trees, one document after the other, in bounded time and memory.
//!
//! The events come from the parser below `serde-saphyr`; its typed layer is left out because it stops at the first mistake
//! and loses the places of values in enums. Aliases are read by copying, and copies count towards the size of a document,
//! so that those which explode end at a bound. A document that is not YAML is reported, and reading goes on at the next.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use serde_saphyr::granit_parser::{ErrorKind, Event, Options, Parser, ScalarStyle, ScanError, Span, Tag};

use super::report::Report;
use super::source::{At, Place};
use super::tree::{Entry, Node, Value};
use super::wording::quoted;
use crate::diagnostic::Finding;

/// Deepest nesting of a document. Ours need 10 levels; every walk over a tree recurses, so the bound protects the stack.
const DEPTH_MAX: usize = 64;

/// Most values of one document, copies through aliases included: a user with 10,000 ACLs has 150,000. One takes about 100
/// bytes of memory while its document is read.
const NODES_MAX: usize = 250_000;

/// Bytes of copied text that count as one more value.
const TEXT_BYTES_PER_NODE: usize = 32;

/// Mappings with more keys than this look for duplicates with a set; most have five, and comparing is faster there.
const KEYS_COMPARED_MAX: usize = 16;

/// Hands every document of a text that is not empty to `visit`, also those in which something was found already, as far as
/// they could be read.
pub(super) fn documents<'s>(report: &mut Report<'s>, source: u32, mut visit: impl FnMut(&mut Report<'s>, Node<'s>)) {
    let mut options = Options::default();
    options.emit_comments = false;
    options.emit_unresolved_aliases = true;
    options.flow_nesting_limit = DEPTH_MAX;
    options.block_nesting_limit = DEPTH_MAX;
    let mut parser = Parser::new_from_str_with_options(report.source(source).text, options);
    let mut builder = Builder::new(source);
    loop {
        let outcome = match parser.next_event() {
            None => return,
            Some(Ok((Event::StreamEnd, _))) => return,
            Some(Ok((Event::DocumentEnd, _))) => {
                if let Some(root) = std::mem::replace(&mut builder, Builder::new(source)).root
                    && !matches!(root.value, Value::Nothing)
                {
                    visit(report, root);
                }
                Ok(())
            }
            Some(Ok((event, span))) => builder.event(report, event, span),
            Some(Err(error)) => {
                report_syntax(report, source, &error);
                Err(Abandoned)
            }
        };
        if outcome.is_err() {
            builder = Builder::new(source);
            match parser.proceed_next_document() {
                Ok(true) => {}
                Ok(false) | Err(_) => return,
            }
        }
    }
}

/// The rest of the document is not worth reading; the reason has been reported.
struct Abandoned;

fn report_syntax(report: &mut Report<'_>, source: u32, error: &ScanError) {
    let start = error.marker().byte_offset().unwrap_or(0).min(report.source(source).text.len());
    let at = At { source, place: Place { start: start as u32, length: 1 } };
    let finding = match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(),
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => {
            Finding::error("yaml-syntax", "not valid YAML: a tab where blanks are needed").hint("indent with blanks")
        }
        ErrorKind::UnclosedQuotedScalar => {
            Finding::error("yaml-syntax", "not valid YAML: a quote that is never closed")
        }
        kind => Finding::error("yaml-syntax", format!("not valid YAML: {kind}")),
    };
    report.at(at, finding);
}

fn too_deep() -> Finding {
    Finding::error("yaml-limit", format!("nested more than {DEPTH_MAX} levels deep"))
}

fn too_large() -> Finding {
    Finding::error("yaml-limit", format!("a document of more than {NODES_MAX} values"))
        .hint("split it; aliases count as often as they are used")
}

/// A finished value with what its copies would cost.
#[derive(Clone)]
struct Built<'s> {
    node: Node<'s>,
    /// Values in it, itself included, and its text in units of [`TEXT_BYTES_PER_NODE`].
    weight: usize,
    /// Levels in it, itself included.
    height: usize,
}

/// A list or mapping whose end has not come yet.
struct Open<'s> {
    place: Place,
    anchor: usize,
    weight: usize,
    height: usize,
    content: Content<'s>,
}

enum Content<'s> {
    List(Vec<Node<'s>>),
    Fields { entries: Vec<Entry<'s>>, key: Key<'s> },
}

/// Where a mapping stands between two of its parts.
enum Key<'s> {
    /// A key comes next.
    Awaited,
    /// The value of this key comes next.
    Read(Cow<'s, str>, Place),
    /// The value of a key that was refused comes next.
    Refused,
}

/// Builds the tree of one document from events.
struct Builder<'s> {
    source: u32,
    root: Option<Node<'s>>,
    open: Vec<Open<'s>>,
    anchors: HashMap<usize, Built<'s>>,
    weight: usize,
}

impl<'s> Builder<'s> {
    fn new(source: u32) -> Self {
        Self { source, root: None, open: Vec::new(), anchors: HashMap::new(), weight: 0 }
    }

    fn at(&self, place: Place) -> At {
        At { source: self.source, place }
    }

    fn event(&mut self, report: &mut Report<'s>, event: Event<'s>, span: Span) -> Result<(), Abandoned> {
        let place = place_of(&span);
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(report, place, text, style, anchor, tag.as_deref()),
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(report, place, tag.as_deref(), "seq");
                self.begin(report, place, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(report, place, tag.as_deref(), "map");
                self.begin(report, place, anchor, Content::Fields { entries: Vec::new(), key: Key::Awaited })
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(report),
            Event::Alias(anchor) => self.alias(report, place, anchor),
            Event::UnresolvedAlias(name) => {
                let message = format!("the alias {} has no anchor before it", quoted(&format!("*{name}")));
                let finding = Finding::error("yaml-alias", message);
                report.at(self.at(place), finding);
                Err(Abandoned)
            }
            // Starts and ends of the stream and of documents, comments, and what later versions of the parser may add.
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        report: &mut Report<'s>,
        place: Place,
        text: Cow<'s, str>,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), Abandoned> {
        let weight = 1 + if matches!(text, Cow::Owned(_)) { text.len() / TEXT_BYTES_PER_NODE } else { 0 };
        self.charge(report, place, weight)?;
        if self.awaits_key() {
            return self.key(report, place, text, weight);
        }
        let is_text = tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str") || tag.original() == "!");
        if !is_text {
            self.refuse_tag(report, place, tag, "str");
        }
        let value = if style == ScalarStyle::Plain && !is_text { Value::of_plain(text) } else { Value::Text(text) };
        self.finish(report, anchor, Built { node: Node { place, value }, weight, height: 1 })
    }

    fn refuse_tag(&self, report: &mut Report<'s>, place: Place, tag: Option<&Tag>, natural: &str) {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema_tag(natural)) {
            let finding =
                Finding::error("yaml-tag", format!("the tag {} has no meaning here", quoted(&tag.original())));
            report.at(self.at(place), finding.hint("remove it"));
        }
    }

    fn awaits_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Fields { key: Key::Awaited, .. }, .. }))
    }

    fn key(
        &mut self,
        report: &mut Report<'s>,
        place: Place,
        text: Cow<'s, str>,
        weight: usize,
    ) -> Result<(), Abandoned> {
        let merge = text == "<<";
        if merge {
            let finding = Finding::error("yaml-merge", "merge keys (`<<`) are not part of YAML 1.2 and not read");
            report.at(self.at(place), finding.hint("repeat the fields, or use an alias for a whole value"));
        }
        if let Some(Open { content: Content::Fields { key, .. }, weight: total, .. }) = self.open.last_mut() {
            *total += weight;
            *key = if merge { Key::Refused } else { Key::Read(text, place) };
        }
        Ok(())
    }

    fn begin(
        &mut self,
        report: &mut Report<'s>,
        place: Place,
        anchor: usize,
        content: Content<'s>,
    ) -> Result<(), Abandoned> {
        self.charge(report, place, 1)?;
        if self.awaits_key() {
            self.refuse_key(report, place);
            return Err(Abandoned);
        }
        if self.open.len() >= DEPTH_MAX {
            report.at(self.at(place), too_deep());
            return Err(Abandoned);
        }
        self.open.push(Open { place, anchor, weight: 1, height: 1, content });
        Ok(())
    }

    fn refuse_key(&self, report: &mut Report<'s>, place: Place) {
        report.at(self.at(place), Finding::error("yaml-key", "a key must be a text"));
    }

    fn end(&mut self, report: &mut Report<'s>) -> Result<(), Abandoned> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::List(items) => Value::List(items),
            Content::Fields { entries, .. } => {
                self.report_duplicates(report, &entries);
                Value::Fields(entries)
            }
        };
        let node = Node { place: open.place, value };
        self.finish(report, open.anchor, Built { node, weight: open.weight, height: open.height })
    }

    fn alias(&mut self, report: &mut Report<'s>, place: Place, anchor: usize) -> Result<(), Abandoned> {
        if self.awaits_key() {
            self.refuse_key(report, place);
            return Err(Abandoned);
        }
        let Some(known) = self.anchors.get(&anchor) else {
            report.at(self.at(place), Finding::error("yaml-alias", "an alias inside of the value that it stands for"));
            return Err(Abandoned);
        };
        let (weight, height) = (known.weight, known.height);
        if self.open.len() + height > DEPTH_MAX {
            report.at(self.at(place), too_deep());
            return Err(Abandoned);
        }
        self.charge(report, place, weight)?;
        let copy = self.anchors[&anchor].clone();
        self.finish(report, 0, copy)
    }

    /// Counts what is about to be kept, before it is made.
    fn charge(&mut self, report: &mut Report<'s>, place: Place, weight: usize) -> Result<(), Abandoned> {
        self.weight = self.weight.saturating_add(weight);
        if self.weight <= NODES_MAX {
            return Ok(());
        }
        report.at(self.at(place), too_large());
        Err(Abandoned)
    }

    /// Puts a finished value where it belongs, and remembers it if it has an anchor.
    fn finish(&mut self, report: &mut Report<'s>, anchor: usize, built: Built<'s>) -> Result<(), Abandoned> {
        if anchor != 0 {
            // The copy that is kept for aliases costs memory as well.
            self.charge(report, built.node.place, built.weight)?;
            self.anchors.insert(anchor, built.clone());
        }
        let Some(parent) = self.open.last_mut() else {
            self.root = Some(built.node);
            return Ok(());
        };
        parent.weight = parent.weight.saturating_add(built.weight);
        parent.height = parent.height.max(built.height + 1);
        match &mut parent.content {
            Content::List(items) => items.push(built.node),
            Content::Fields { entries, key } => match std::mem::replace(key, Key::Awaited) {
                Key::Read(name, place) => entries.push(Entry { name, place, node: built.node }),
                Key::Refused | Key::Awaited => {}
            },
        }
        Ok(())
    }

    fn report_duplicates(&self, report: &mut Report<'s>, entries: &[Entry<'s>]) {
        let mut seen = HashSet::new();
        for (index, entry) in entries.iter().enumerate() {
            let is_repeated = match entries.len() {
                0..=KEYS_COMPARED_MAX => entries[..index].iter().any(|before| before.name == entry.name),
                _ => !seen.insert(&entry.name),
            };
            if is_repeated {
                let finding = Finding::error("duplicate-field", format!("{} is written twice", quoted(&entry.name)));
                report.at(self.at(entry.place), finding.hint("remove one"));
            }
        }
    }
}

/// The place of an event. Mappings and lists in block style begin where their first key or item does.
fn place_of(span: &Span) -> Place {
    let start = span.start.byte_offset().unwrap_or(0);
    let end = span.end.byte_offset().unwrap_or(start);
    Place { start: start as u32, length: end.saturating_sub(start) as u32 }
}
