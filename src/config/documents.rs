//! From `--config` to texts: files, folders, variables.

use super::parse::{Format, parse, parse_all};
use super::{Node, Origin, Problem, Sources};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A document larger than this isn't a configuration.
const DOCUMENT_BYTES_MAX: u64 = 1024 * 1024;

/// A folder with more documents than this isn't one of configurations.
const DOCUMENTS_MAX: usize = 1000;

/// All documents that parse, in their order; the others are faults.
pub(super) fn read(sources: &Sources, problems: &mut Vec<Problem>) -> Vec<Node> {
    let mut documents = Vec::new();
    for path in &sources.paths {
        let found = match path.strip_prefix("env:") {
            Some(variable) => of_variable(variable, path, sources),
            None => of_path(Path::new(path), path, problems, &mut documents),
        };
        match found {
            Ok(more) => documents.extend(more),
            Err(faults) => problems.extend(faults),
        }
    }
    documents
}

/// The documents of one YAML or JSON file that is none of Serin's own; a YAML file may hold several.
///
/// # Errors
/// The file can't be read or doesn't parse.
pub fn foreign(path: &Path) -> Result<Vec<Node>, Vec<Problem>> {
    let name = path.display().to_string();
    // A missing file is told as missing, whatever its name is.
    let text = text_of(path, &name)?;
    match Format::of(path) {
        Some(format @ (Format::Yaml | Format::Json)) => parse_all(&text, &name, format),
        _ => Err(vec![fault(&name, "not a .yaml, .yml or .json file".into(), "rename it")]),
    }
}

fn of_variable(variable: &str, name: &str, sources: &Sources) -> Result<Vec<Node>, Vec<Problem>> {
    let text = sources.variables.get(variable).ok_or_else(|| {
        vec![fault(name, format!("the variable {variable} is not set"), "put the whole document into it")]
    })?;
    parse(text, name, None).map(|root| vec![root])
}

fn of_path(
    path: &Path,
    name: &str,
    problems: &mut Vec<Problem>,
    documents: &mut Vec<Node>,
) -> Result<Vec<Node>, Vec<Problem>> {
    if !path.is_dir() {
        let format = Format::of(path).ok_or_else(|| {
            vec![fault(name, "not a .toml, .json, .yaml or .yml file, nor a folder".into(), "rename it")]
        });
        // A missing file is told as missing, whatever its name is.
        let text = text_of(path, name)?;
        return parse(&text, name, Some(format?)).map(|root| vec![root]);
    }
    for file in files_in(path, name)? {
        let name = file.display().to_string();
        match text_of(&file, &name).and_then(|text| parse(&text, &name, Format::of(&file))) {
            Ok(root) => documents.push(root),
            Err(faults) => problems.extend(faults),
        }
    }
    Ok(Vec::new())
}

/// The documents of a folder, sorted by name. Hidden ones are left out: a mounted `ConfigMap` has `..data`.
fn files_in(folder: &Path, name: &str) -> Result<Vec<PathBuf>, Vec<Problem>> {
    let unreadable = |error: io::Error| {
        vec![fault(name, format!("can't list the folder: {error}"), "check its mode and owner")]
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if !hidden && Format::of(&path).is_some() && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    match files.len() {
        0 => Err(vec![fault(
            name,
            "no .toml, .json, .yaml or .yml file in the folder".into(),
            "add one file a service",
        )]),
        n if n > DOCUMENTS_MAX => Err(vec![fault(
            name,
            format!("{n} documents in one folder, {DOCUMENTS_MAX} at most"),
            "split the fleet",
        )]),
        _ => Ok(files),
    }
}

fn text_of(path: &Path, name: &str) -> Result<String, Vec<Problem>> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(DOCUMENT_BYTES_MAX + 1).read_to_end(&mut bytes)).map_err(
        |error| {
            vec![fault(name, format!("can't read the file: {error}"), "check the path, its mode and owner")]
        },
    )?;
    if bytes.len() as u64 > DOCUMENT_BYTES_MAX {
        return Err(vec![fault(name, "larger than 1 MiB".into(), "this is not a configuration")]);
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        vec![fault(name, format!("not UTF-8 at byte {at}"), "save it as UTF-8")]
    })
}

fn fault(name: &str, rule: String, remedy: &str) -> Problem {
    let origin = Origin::Document { name: Arc::from(name), line: 0 };
    Problem { origin, key: String::new(), value: None, rule, remedy: remedy.to_owned() }
}
