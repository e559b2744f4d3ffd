//! Which texts of a document belong together.

use std::ops::Range;

use super::events::Event;

/// Elements that stand within a sentence.
const INLINE: [&str; 35] = [
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins",
    "kbd", "label", "mark", "nobr", "q", "s", "samp", "small", "span", "strike", "strong", "sub", "sup",
    "time", "tt", "u", "var", "data", "output", "rb",
];
/// Elements whose content is no language.
const NOT_PROSE: [&str; 8] = ["code", "kbd", "samp", "var", "script", "style", "svg", "math"];
/// Elements whose white space counts.
const PREFORMATTED: [&str; 3] = ["pre", "textarea", "listing"];
/// Elements that a further one of them ends, where no end tag does.
const SELF_ENDING: [&str; 8] = ["p", "li", "dt", "dd", "option", "tr", "td", "th"];

/// A stretch of text between two tags.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// Its bytes in the document, white space around it included.
    pub(super) range: Range<usize>,
    /// Its text with entities as characters and without white space around it.
    pub(super) text: String,
    /// Where it begins in the whole, in bytes.
    pub(super) start: usize,
    /// Whether the text stays as it is.
    pub(super) is_fixed: bool,
    /// The number of the outermost inline element around it, in its segment.
    pub(super) group: Option<usize>,
}

/// Text that is translated as one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) runs: Vec<Run>,
    /// The bytes of the outermost inline elements, tags included.
    pub(super) groups: Vec<Range<usize>>,
    /// All of it as one text.
    whole: String,
}

impl Segment {
    /// The bytes in the document.
    pub(super) fn range(&self) -> Range<usize> {
        let ranges = || self.runs.iter().map(|run| &run.range).chain(&self.groups);
        let start = ranges().map(|range| range.start).min().unwrap_or(0);
        start..ranges().map(|range| range.end).max().unwrap_or(start)
    }

    /// All of it as one text.
    pub(super) fn whole(&self) -> &str {
        &self.whole
    }

    /// What is to be translated: the whole, then, where there are tags in it, each stretch.
    pub(super) fn texts(&self) -> Vec<String> {
        let alone = self.translated_runs().map(|run| run.text.clone());
        std::iter::once(self.whole.clone()).chain(alone).collect()
    }

    /// How many texts there are.
    pub(super) fn text_count(&self) -> usize {
        1 + self.translated_runs().count()
    }

    /// The stretches that are translated alone too.
    pub(super) fn translated_runs(&self) -> impl Iterator<Item = &Run> {
        let is_one = self.runs.len() == 1;
        self.runs.iter().filter(move |run| !is_one && !run.is_fixed)
    }
}

/// An open element.
struct Open {
    name: String,
    translates: bool,
    is_preformatted: bool,
    is_inline: bool,
    /// The number of the outermost inline element since the last boundary.
    group: Option<usize>,
}

struct Collector<'a> {
    source: &'a str,
    open: Vec<Open>,
    /// How many of the open elements were there at the last boundary.
    base: usize,
    current: Segment,
    done: Vec<Segment>,
    /// Where the last event ended.
    end: usize,
}

/// The segments of a document, in order.
pub(super) fn segments(source: &str, events: &[Event]) -> Vec<Segment> {
    let mut collector = Collector {
        source,
        open: Vec::new(),
        base: 0,
        current: Segment::default(),
        done: Vec::new(),
        end: 0,
    };
    for event in events {
        // What is between two events is a comment, or an end tag that ends nothing.
        if event.range().start > collector.end {
            collector.boundary();
        }
        collector.take(event);
        collector.end = collector.end.max(event.range().end);
    }
    collector.boundary();
    collector.done
}

impl Collector<'_> {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Open { name, range, translate, has_content } => {
                let is_inline = INLINE.contains(&name.as_str()) && *has_content;
                if !is_inline {
                    self.boundary();
                }
                if !has_content {
                    return;
                }
                let is_again = |open: &Open| open.name == *name && SELF_ENDING.contains(&name.as_str());
                if self.open.last().is_some_and(is_again) {
                    self.open.pop();
                }
                self.base = self.base.min(self.open.len());
                self.open(name, range, *translate, is_inline);
            }
            Event::Close { name, range } => self.close(name, range),
            Event::Text { range, is_prose: true } => self.text(range),
            Event::Text { .. } => self.boundary(),
        }
    }

    fn open(&mut self, name: &str, range: &Range<usize>, translate: Option<bool>, is_inline: bool) {
        let around = self.open.last();
        let is_prose = !NOT_PROSE.contains(&name);
        let translates = translate.unwrap_or(is_prose && around.is_none_or(|open| open.translates));
        let is_preformatted = PREFORMATTED.contains(&name) || around.is_some_and(|open| open.is_preformatted);
        let group = is_inline.then(|| match self.open.get(self.base) {
            Some(outermost) if outermost.group.is_some() => outermost.group,
            _ => {
                self.current.groups.push(range.clone());
                Some(self.current.groups.len() - 1)
            }
        });
        let open =
            Open { name: name.to_owned(), translates, is_preformatted, is_inline, group: group.flatten() };
        self.open.push(open);
        if !is_inline {
            self.base = self.open.len();
        }
    }

    fn close(&mut self, name: &str, range: &Range<usize>) {
        let Some(place) = self.open.iter().rposition(|open| open.name == name) else {
            // The end of what another element ended before.
            return self.boundary();
        };
        if self.open[place..].iter().any(|open| !open.is_inline) {
            self.boundary();
        } else if place == self.base
            && let Some(group) = self.open[place].group.and_then(|group| self.current.groups.get_mut(group))
        {
            group.end = range.end;
        } else if place < self.base {
            // The end of an inline element that began before the boundary.
            self.boundary();
        }
        self.open.truncate(place);
        self.base = self.base.min(place);
    }

    fn text(&mut self, range: &Range<usize>) {
        let around = self.open.last();
        let is_preformatted = around.is_some_and(|open| open.is_preformatted);
        let is_fixed = around.is_some_and(|open| !open.translates);
        let is_within = self.open.len() > self.base;
        if is_preformatted || (is_fixed && !is_within) {
            self.boundary();
        }
        let raw = &self.source[range.clone()];
        let text = htmlize::unescape(raw);
        let text = if is_preformatted { text.trim().to_owned() } else { collapsed(&text) };
        let group = self.open.get(self.base).and_then(|open| open.group);
        if let Some(group) = group.and_then(|group| self.current.groups.get_mut(group)) {
            group.end = group.end.max(range.end);
        }
        if text.is_empty() {
            // White space alone is part of the whole, and stays where it is.
            if !self.current.whole.is_empty() && !self.current.whole.ends_with(' ') {
                self.current.whole.push(' ');
            }
            return;
        }
        if is_fixed && !is_within {
            return;
        }
        let starts_with_space = raw.starts_with(|first: char| first.is_ascii_whitespace());
        if starts_with_space && !self.current.whole.is_empty() && !self.current.whole.ends_with(' ') {
            self.current.whole.push(' ');
        }
        let start = self.current.whole.len();
        self.current.whole.push_str(&text);
        if raw.ends_with(|last: char| last.is_ascii_whitespace()) {
            self.current.whole.push(' ');
        }
        self.current.runs.push(Run { range: range.clone(), text, start, is_fixed, group });
        if is_preformatted {
            self.boundary();
        }
    }

    /// Ends the segment. Inline elements that are open go on, but are no longer this segment's.
    fn boundary(&mut self) {
        let mut segment = std::mem::take(&mut self.current);
        self.base = self.open.len();
        segment.whole.truncate(segment.whole.trim_end().len());
        if segment.runs.iter().any(|run| !run.is_fixed) {
            self.done.push(segment);
        }
    }
}

/// Runs of white space as HTML shows them: one space; none around the text.
fn collapsed(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}
