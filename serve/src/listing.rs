//! A page that lists a folder.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io;

use pirn::fs::{File, FileKind};

use crate::path::{Asked, encoded};

/// Names that one page lists at most: it is made in memory.
const MOST: usize = 10_000;

/// Lists an open folder.
pub(crate) async fn page(folder: &File, asked: &Asked, hidden: bool) -> io::Result<String> {
    let mut names: Vec<(bool, OsString)> = Vec::new();
    let mut more = false;
    let mut list = folder.list();
    while let Some(entry) = list.next().await? {
        let name = entry.file_name();
        if !hidden && name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        if names.len() == MOST {
            more = true;
            break;
        }
        names.push((entry.kind() != FileKind::Directory, name));
    }
    names.sort();
    let title = escaped(&asked.title());
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
         <style>body{{font:16px/1.6 system-ui,sans-serif;margin:2em auto;max-width:50em;padding:0 1em}}\
         ul{{list-style:none;padding:0}}a{{text-decoration:none}}a:hover{{text-decoration:underline}}</style>\n\
         </head><body><h1>{title}</h1>\n<ul>\n"
    );
    if !asked.is_top() {
        page.push_str("<li><a href=\"../\">../</a></li>\n");
    }
    for (is_file, name) in names {
        let slash = if is_file { "" } else { "/" };
        let (link, text) = (encoded(&name), escaped(&name.to_string_lossy()));
        // The dot keeps a name with a colon from being taken for a scheme.
        let _ = writeln!(page, "<li><a href=\"./{link}{slash}\">{text}{slash}</a></li>");
    }
    page.push_str("</ul>\n");
    if more {
        let _ = writeln!(page, "<p>There are more than these {MOST} names.</p>");
    }
    page.push_str("</body></html>\n");
    Ok(page)
}

/// Text for HTML.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
    }
    safe
}
