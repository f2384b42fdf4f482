//! Values that may be used and never shown.

use super::Fault;
use crate::config::Table;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::ops::RangeInclusive;

/// A value that is never shown: `Debug`, `Display` and `Serialize` print `<secret>`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    #[must_use]
    pub fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, to be sent to whom it is meant for and to nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// What stands where a secret is.
pub(super) const MASK: &str = "<secret>";

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// What messages are signed with. `Debug` prints `<secret>`.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKey(Vec<u8>);

/// Bytes of such a key: what Standard Webhooks asks for.
const KEY_BYTES: RangeInclusive<usize> = 24..=64;

impl SigningKey {
    /// `whsec_` with base64 behind it, else the bytes of the text.
    pub(super) fn parse(secret: &Secret) -> Result<Self, Fault> {
        let text = secret.expose();
        let bytes = match text.strip_prefix("whsec_") {
            None => text.as_bytes().to_vec(),
            Some(code) => STANDARD.decode(code).map_err(|_| {
                Fault::new("what follows whsec_ is not base64", "take the secret as its issuer shows it")
            })?,
        };
        if KEY_BYTES.contains(&bytes.len()) {
            return Ok(Self(bytes));
        }
        let rule = format!(
            "the secret is {} bytes; from {} to {} sign",
            bytes.len(),
            KEY_BYTES.start(),
            KEY_BYTES.end()
        );
        Err(Fault::new(rule, "make one by: echo whsec_$(openssl rand -base64 32)"))
    }

    /// The bytes, to sign with and for nothing else.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// A secret larger than this is a wrong file.
const BYTES_MAX: u64 = 64 * 1024;

/// What `{ env = "NAME" }` or `{ file = "PATH" }` refers to: the whole value, without one trailing line end.
pub(super) fn resolve(table: &Table, variables: &BTreeMap<String, String>) -> Result<Secret, Fault> {
    let form = "write { env = \"NAME\" } or { file = \"PATH\" }";
    let mut entries = table.iter();
    let (Some((kind, node)), None) = (entries.next(), entries.next()) else {
        return Err(Fault::new("a reference has exactly one of env and file", form));
    };
    let Some(place) = node.text().filter(|text| !text.is_empty()) else {
        return Err(Fault::new(format!("{kind} of a reference is not text"), form));
    };
    let value = match kind.as_str() {
        "env" => variables.get(place).cloned().ok_or_else(|| {
            Fault::new(
                format!("the variable {place} is not set"),
                format!("set {place}, for ECS by `secrets`"),
            )
        })?,
        "file" => of_file(place)?,
        other => return Err(Fault::new(format!("a secret can't be had by `{other}`"), form)),
    };
    let trimmed =
        value.strip_suffix('\n').map_or(value.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    let rule = if trimmed.is_empty() {
        "is empty"
    } else if trimmed.contains(['\n', '\r']) {
        "has more than one line"
    } else {
        return Ok(Secret(trimmed.to_owned()));
    };
    Err(Fault::new(format!("the secret of {kind} {place} {rule}"), "one line is the whole value"))
}

fn of_file(path: &str) -> Result<String, Fault> {
    let fault = |said: String| {
        Fault::new(format!("can't read the secret file {path}: {said}"), "check the path, its mode and owner")
    };
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_string(&mut text))
        .map_err(|error| fault(error.to_string()))?;
    if text.len() as u64 > BYTES_MAX { Err(fault("larger than 64 KiB".to_owned())) } else { Ok(text) }
}

/// `<secret from env NAME>`; the reference itself is no secret.
pub(super) fn shown_reference(table: &Table) -> String {
    match table.iter().next() {
        Some((kind, node)) if table.len() == 1 && matches!(kind.as_str(), "env" | "file") => {
            format!("<secret from {kind} {}>", node.text().unwrap_or_default())
        }
        _ => MASK.to_owned(),
    }
}
