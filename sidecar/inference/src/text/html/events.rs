//! The tags and texts of a document in order, with their places.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use lol_html::html_content::{Element, EndTag, TextChunk, TextType};
use lol_html::{RewriteStrSettings, doc_text, element, end_tag, rewrite_str};

use super::HtmlError;

/// Something in a document; the range is its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A start tag, its name in lower case.
    Open {
        name: String,
        range: Range<usize>,
        /// What the tag says about translating its content: its `translate` attribute, or the class `notranslate`.
        translate: Option<bool>,
        /// Whether an end tag may follow.
        has_content: bool,
    },
    /// An end tag that closes an open element.
    Close { name: String, range: Range<usize> },
    /// Text between tags.
    Text {
        range: Range<usize>,
        /// Whether readers see it: a script's or a style's is not for them.
        is_prose: bool,
    },
}

impl Event {
    pub(super) fn range(&self) -> &Range<usize> {
        match self {
            Self::Open { range, .. } | Self::Close { range, .. } | Self::Text { range, .. } => range,
        }
    }
}

/// Reads a document.
pub(super) fn events(source: &str) -> Result<Vec<Event>, HtmlError> {
    let events = Rc::new(RefCell::new(Vec::new()));
    let on_element = |element: &mut Element<'_, '_>| {
        events.borrow_mut().push(Event::Open {
            name: element.tag_name(),
            range: element.start_tag().source_location().bytes(),
            translate: translate(element),
            has_content: element.can_have_content(),
        });
        if element.can_have_content() {
            let events = Rc::clone(&events);
            element.on_end_tag(end_tag!(move |tag: &mut EndTag<'_>| {
                let range = tag.source_location().bytes();
                events.borrow_mut().push(Event::Close { name: tag.name(), range });
                Ok(())
            }))?;
        }
        Ok(())
    };
    let on_text = |chunk: &mut TextChunk<'_>| {
        push_text(&mut events.borrow_mut(), chunk);
        Ok(())
    };
    let settings = RewriteStrSettings::new()
        .append_element_content_handler(element!("*", on_element))
        .append_document_content_handler(doc_text!(on_text))
        .with_strict(false);
    rewrite_str(source, settings)?;
    Ok(events.take())
}

fn translate(element: &Element<'_, '_>) -> Option<bool> {
    let is_marked = element.get_attribute("class").is_some_and(|classes| {
        classes.split_ascii_whitespace().any(|class| class.eq_ignore_ascii_case("notranslate"))
    });
    match element.get_attribute("translate").as_deref().map(str::trim) {
        _ if is_marked => Some(false),
        Some(value) if value.eq_ignore_ascii_case("no") => Some(false),
        Some(value) if value.is_empty() || value.eq_ignore_ascii_case("yes") => Some(true),
        _ => None,
    }
}

/// A text may come in several chunks, the last of them empty.
fn push_text(events: &mut Vec<Event>, chunk: &TextChunk<'_>) {
    let place = chunk.source_location().bytes();
    if place.is_empty() {
        return;
    }
    let kind = matches!(chunk.text_type(), TextType::Data | TextType::RCData);
    match events.last_mut() {
        Some(Event::Text { range, is_prose }) if range.end == place.start && *is_prose == kind => {
            range.end = place.end;
        }
        _ => events.push(Event::Text { range: place, is_prose: kind }),
    }
}
