//! XML as device descriptions, lineups and SOAP need it, written: elements, attributes and text.

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event};

/// A document that grows. What opens an element has to close it.
pub(super) struct Xml(Writer<Vec<u8>>);

/// Attributes of an element.
type Attributes<'a> = &'a [(&'a str, &'a str)];

impl Xml {
    /// A document that people may read, too: a line for each element.
    pub(super) fn document() -> Self {
        let mut xml = Self(Writer::new_with_indent(Vec::new(), b' ', 2));
        xml.write(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        xml
    }

    /// A document for machines alone: one line.
    pub(super) fn compact() -> Self {
        let mut xml = Self::fragment();
        xml.write(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        xml
    }

    /// Elements that go into something else.
    pub(super) fn fragment() -> Self {
        Self(Writer::new(Vec::new()))
    }

    /// Begins an element.
    pub(super) fn open(&mut self, name: &str, attributes: Attributes<'_>) -> &mut Self {
        self.write(Event::Start(start(name, attributes)))
    }

    /// Ends it.
    pub(super) fn close(&mut self, name: &str) -> &mut Self {
        self.write(Event::End(BytesEnd::new(name)))
    }

    /// An element that holds nothing but text.
    pub(super) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.text_with(name, &[], text)
    }

    /// The same, with attributes.
    pub(super) fn text_with(&mut self, name: &str, attributes: Attributes<'_>, text: &str) -> &mut Self {
        self.open(name, attributes);
        self.write(Event::Text(BytesText::new(&allowed(text))));
        self.close(name)
    }

    /// The document.
    pub(super) fn finish(self) -> String {
        let mut text = String::from_utf8(self.0.into_inner()).expect("all of it was text");
        text.push('\n');
        text
    }

    /// The elements.
    pub(super) fn into_fragment(self) -> String {
        String::from_utf8(self.0.into_inner()).expect("all of it was text")
    }

    fn write(&mut self, event: Event<'_>) -> &mut Self {
        self.0.write_event(event).expect("memory takes everything");
        self
    }
}

fn start<'a>(name: &'a str, attributes: Attributes<'_>) -> BytesStart<'a> {
    let mut element = BytesStart::new(name);
    for (name, value) in attributes {
        element.push_attribute((*name, allowed(value).as_str()));
    }
    element
}

/// Text without what XML 1.0 cannot hold, escaped or not.
fn allowed(text: &str) -> String {
    let is_allowed = |character: &char| {
        matches!(character, '\t' | '\n' | '\r') || !matches!(character, '\0'..' ' | '\u{fffe}' | '\u{ffff}')
    };
    text.chars().filter(is_allowed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_a_line_for_each_element_and_text_cannot_leave_its_own() {
        let mut xml = Xml::document();
        xml.open("a", &[("xmlns", "urn:x"), ("b", "\"<&>'\u{1}")]);
        xml.text("c", "</c><d>&amp;\u{0}\u{7}\u{fffe}\u{ffff}'\"");
        xml.text_with("e", &[("f", "g")], "").close("a");
        assert_eq!(
            xml.finish(),
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <a xmlns=\"urn:x\" b=\"&quot;&lt;&amp;&gt;&apos;\">\n  \
             <c>&lt;/c&gt;&lt;d&gt;&amp;amp;&apos;&quot;</c>\n  \
             <e f=\"g\"></e>\n</a>\n"
        );
    }

    #[test]
    fn a_fragment_is_one_line() {
        let mut xml = Xml::fragment();
        xml.open("a", &[]).text("b", "c").close("a");
        assert_eq!(xml.into_fragment(), "<a><b>c</b></a>");
    }
}
