//! What a request asks of a file's version and of its bytes: RFC 9110, 13 and 14.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use headers::{
    ETag, HeaderMapExt, IfMatch, IfModifiedSince, IfNoneMatch, IfRange, IfUnmodifiedSince, LastModified,
};
use hyper::HeaderMap;
use hyper::header::RANGE;
use pirn::fs::Metadata;

/// Dates that HTTP can write end with the year 9999.
const LAST: Duration = Duration::from_secs(253_402_300_799);

/// Which version of a file it is.
pub(crate) struct Version {
    pub(crate) tag: ETag,
    /// `None`: a date that HTTP can't write.
    pub(crate) modified: Option<SystemTime>,
}

impl Version {
    /// By date and length; `coding` tells a file from its compressed twin.
    pub(crate) fn of(facts: &Metadata, coding: &str) -> Self {
        let (modified, length) = (facts.modified(), facts.len());
        let (sign, age) = match modified.duration_since(UNIX_EPOCH) {
            Ok(age) => ("", age),
            Err(before) => ("m", before.duration()),
        };
        let tag = format!("\"{sign}{:x}-{length:x}{coding}\"", age.as_nanos());
        Self {
            tag: tag.parse().expect("hexadecimal digits and letters make a tag"),
            modified: (sign.is_empty() && age <= LAST).then_some(modified),
        }
    }
}

/// What is to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Whole,
    /// These bytes, the first and how many; at least one.
    Part(u64, u64),
    /// 304.
    NotModified,
    /// 412.
    Failed,
    /// 416.
    Unsatisfiable,
}

/// What a request for a file of this version and length comes to.
pub(crate) fn answer(headers: &HeaderMap, version: &Version, length: u64) -> Answer {
    let tag = &version.tag;
    if let Some(wanted) = headers.typed_get::<IfMatch>() {
        if !wanted.precondition_passes(tag) {
            return Answer::Failed;
        }
    } else if let (Some(since), Some(modified)) = (headers.typed_get::<IfUnmodifiedSince>(), version.modified)
        && !since.precondition_passes(modified)
    {
        return Answer::Failed;
    }
    if let Some(known) = headers.typed_get::<IfNoneMatch>() {
        if !known.precondition_passes(tag) {
            return Answer::NotModified;
        }
    } else if let (Some(since), Some(modified)) = (headers.typed_get::<IfModifiedSince>(), version.modified)
        && !since.is_modified(modified)
    {
        return Answer::NotModified;
    }
    if headers.typed_get::<IfRange>().is_some_and(|range| {
        let modified = version.modified.map(LastModified::from);
        range.is_modified(Some(tag), modified.as_ref())
    }) {
        return Answer::Whole;
    }
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    range.map_or(Answer::Whole, |range| part(range, length))
}

/// One range. Several ranges at once, other units and nonsense are ignored, as a server may.
fn part(range: &str, length: u64) -> Answer {
    let number = |digits: &str| {
        let all = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // What is larger than any file is as good as the largest number.
        all.then(|| digits.parse::<u64>().unwrap_or(u64::MAX))
    };
    let bounds = range.trim().strip_prefix("bytes=").and_then(|spec| spec.trim().split_once('-'));
    let (first, last) = match bounds {
        Some(("", suffix)) => match number(suffix) {
            Some(0) => return Answer::Unsatisfiable,
            Some(count) => (length.saturating_sub(count), u64::MAX),
            None => return Answer::Whole,
        },
        Some((first, "")) => match number(first) {
            Some(first) => (first, u64::MAX),
            None => return Answer::Whole,
        },
        Some((first, last)) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => (first, last),
            _ => return Answer::Whole,
        },
        None => return Answer::Whole,
    };
    if first >= length {
        return Answer::Unsatisfiable;
    }
    Answer::Part(first, last.min(length - 1) - first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (range, expected) in [
            ("bytes=0-0", Answer::Part(0, 1)),
            ("bytes=0-", Answer::Part(0, 10)),
            ("bytes=3-5", Answer::Part(3, 3)),
            ("bytes=3-99", Answer::Part(3, 7)),
            ("bytes=9-9", Answer::Part(9, 1)),
            ("bytes=-3", Answer::Part(7, 3)),
            ("bytes=-99", Answer::Part(0, 10)),
            ("bytes=0-99999999999999999999999", Answer::Part(0, 10)),
            ("bytes=-0", Answer::Unsatisfiable),
            ("bytes=10-", Answer::Unsatisfiable),
            ("bytes=99999999999999999999999-", Answer::Unsatisfiable),
            ("bytes=5-3", Answer::Whole),
            ("bytes=0-1,3-4", Answer::Whole),
            ("bytes=", Answer::Whole),
            ("bytes=-", Answer::Whole),
            ("bytes=a-b", Answer::Whole),
            ("bytes=+1-2", Answer::Whole),
            ("lines=1-2", Answer::Whole),
            ("", Answer::Whole),
        ] {
            assert_eq!(part(range, 10), expected, "{range}");
        }
        assert_eq!(part("bytes=0-", 0), Answer::Unsatisfiable);
    }
}
