//! The XML that the ELBv2 Query API answers with.

use std::fmt::Display;

/// A document under construction.
#[derive(Default)]
pub(super) struct Xml(String);

impl Xml {
    /// The outermost element, with the name space of the API.
    pub(super) fn root(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.open(&format!("{name} xmlns=\"{NAMESPACE}\""));
        content(self);
        self.close(name);
    }

    /// An element with elements in it.
    pub(super) fn node(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.open(name);
        content(self);
        self.close(name);
    }

    /// An element with text in it.
    pub(super) fn leaf(&mut self, name: &str, text: impl Display) {
        self.node(name, |xml| xml.text(text));
    }

    /// Text.
    pub(super) fn text(&mut self, text: impl Display) {
        self.0.push_str(&quick_xml::escape::escape(text.to_string().as_str()));
    }

    /// An element with text in it, if there is one.
    pub(super) fn leaf_if(&mut self, name: &str, text: Option<impl Display>) {
        if let Some(text) = text {
            self.leaf(name, text);
        }
    }

    /// Elements that were written before.
    pub(super) fn raw(&mut self, elements: &str) {
        self.0.push_str(elements);
    }

    /// A list, each item in a `member`.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut content: impl FnMut(&mut Self, T),
    ) {
        self.node(name, |xml| {
            for item in items {
                xml.node("member", |xml| content(xml, item));
            }
        });
    }

    /// The document.
    pub(super) fn finish(self) -> String {
        self.0
    }

    fn open(&mut self, tag: &str) {
        self.0.extend(["<", tag, ">"]);
    }

    fn close(&mut self, name: &str) {
        self.0.extend(["</", name, ">"]);
    }
}

const NAMESPACE: &str = "http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/";
