//! The parts an object was uploaded in, with the checksum the store holds of each (C6).
//!
//! Asked for in two ways: GetObjectAttributes lists them page by page; where a store does not have that, does not allow
//! it or leaves something out, a HEAD for each part tells the same. Nothing of either is believed before it fits: the
//! version is the pinned one, there are exactly as many parts as the stored value is of, and their sizes add up to the
//! object's. A layout that cannot be had is no error of the transfer: the reason is a text for a person.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use reqwest::Method;

use super::{ObjectRef, S3Client, broken_xml};
use crate::checksum::{Digest, Kind};
use crate::config::MAX_PARTS;
use crate::error::{Error, ErrorKind};
use crate::s3::answer::{parse_content_range, parse_digits};
use crate::s3::attempts::Attempts;
use crate::s3::object::ObjectIdentity;
use crate::s3::request::Answer;
use crate::s3::xml::{self, AttributesPage};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPart {
    /// Of the object's bytes; a part may be empty.
    pub range: Range<u64>,
    pub digest: Digest,
}

/// All parts of an object in order; their ranges are exactly `0..size`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartLayout {
    pub parts: Vec<StoredPart>,
}

/// Parts asked for in one page; no store lists more.
const PAGE: &str = "1000";
/// Pages that are read: a store may list fewer parts than asked for, but not one by one.
const MAX_PAGES: u32 = 100;
/// A page of the largest size that stores have, twice over (S14).
const MAX_ATTRIBUTES: usize = 4 << 20;
/// More parts than this are not asked for one by one.
const MAX_HEADS: u32 = 1000;

impl S3Client {
    /// The layout of the pinned version of an object, whose stored value of this kind is of so many parts.
    pub async fn part_layout(
        &self,
        object: &ObjectRef,
        identity: &ObjectIdentity,
        kind: Kind,
        parts: u32,
    ) -> Result<PartLayout, String> {
        if parts == 0 || u64::from(parts) > MAX_PARTS {
            return Err(format!("no object has {parts} parts"));
        }
        let Some(etag) = identity.strong_etag() else {
            return Err("its parts cannot be asked for, because nothing pins its version".into());
        };
        let wanted = Wanted { object, identity, etag, kind, parts };
        match self.listed_layout(&wanted).await {
            Ok(layout) => Ok(layout),
            Err(NoLayout::Final(why)) => Err(why),
            Err(NoLayout::Here(why)) if parts > MAX_HEADS => {
                Err(format!("{why}; {parts} parts are too many to ask for one by one"))
            }
            Err(NoLayout::Here(why)) => self.asked_layout(&wanted).await.map_err(|also| format!("{why}; {also}")),
        }
    }

    /// By GetObjectAttributes.
    async fn listed_layout(&self, wanted: &Wanted<'_>) -> Result<PartLayout, NoLayout> {
        let mut assembly = Assembly::new(wanted);
        let mut last = None;
        for _ in 0..MAX_PAGES {
            let page = self.attributes_page(wanted, last).await?;
            if page.parts.is_empty() {
                break;
            }
            for part in page.parts {
                if u64::from(part.number) > MAX_PARTS || part.number <= last.unwrap_or(0) {
                    return Err(NoLayout::Here("the store lists the parts of the object out of order".into()));
                }
                last = Some(part.number);
                let digest = digest(wanted.kind, part.checksum.as_deref(), part.number)?;
                assembly.add(part.size, digest)?;
            }
            if assembly.has_all() {
                return Ok(assembly.finish()?);
            }
        }
        Err(NoLayout::Here(format!("the store lists {} of {} parts", assembly.parts.len(), wanted.parts)))
    }

    /// The parts behind the one of this number, of the right version.
    async fn attributes_page(&self, wanted: &Wanted<'_>, after: Option<u32>) -> Result<AttributesPage, NoLayout> {
        let mut request = wanted
            .object
            .request(Method::GET)
            .query("attributes", "")
            .header("x-amz-object-attributes", "ETag,Checksum,ObjectParts,ObjectSize")
            .header("x-amz-max-parts", PAGE);
        if let Some(number) = after {
            request = request.header("x-amz-part-number-marker", number.to_string());
        }
        let parse = |answer: &Answer, body: &[u8]| {
            let page = xml::parse_object_attributes(body, wanted.kind).map_err(broken_xml)?;
            Ok((page, answer.header("x-amz-version-id").map(str::to_owned)))
        };
        let (page, version) = self.exchange(&request, MAX_ATTRIBUTES, parse).await.map_err(|error| refused(&error))?;
        let Some(etag) = &page.etag else {
            return Err(NoLayout::Here("the store does not say of which version it lists the parts".into()));
        };
        let is_same =
            *etag == wanted.etag.trim_matches('"') && page.size.is_none_or(|size| size == wanted.identity.size);
        if !is_same || !wanted.is_version(version.as_deref()) {
            return Err(NoLayout::Final("the store lists the parts of another version".into()));
        }
        if page.parts_count.is_some_and(|count| count != u64::from(wanted.parts)) {
            return Err(NoLayout::Here(format!("the store does not have {} parts of the object", wanted.parts)));
        }
        Ok(page)
    }

    /// By a HEAD for each part. The first one alone, because most stores that refuse it refuse all of them.
    async fn asked_layout(&self, wanted: &Wanted<'_>) -> Result<PartLayout, String> {
        let mut heads = vec![self.head_part(wanted, 1).await?];
        let next = AtomicU32::new(2);
        // Boxed, because eight of them in line would make a large future of every download. In one task: what is awaited
        // here is little, and a failure drops the rest.
        let lane = || Box::pin(self.head_lane(wanted, &next));
        let (a, b, c, d, e, f, g, h) =
            tokio::try_join!(lane(), lane(), lane(), lane(), lane(), lane(), lane(), lane())?;
        heads.extend([a, b, c, d, e, f, g, h].into_iter().flatten());
        heads.sort_by_key(|head| head.number);
        let mut assembly = Assembly::new(wanted);
        for head in heads {
            if head.start.is_some_and(|start| start != assembly.end) {
                return Err(format!("part {} does not begin where the one before ends", head.number));
            }
            assembly.add(head.size, head.digest)?;
        }
        assembly.finish()
    }

    async fn head_lane(&self, wanted: &Wanted<'_>, next: &AtomicU32) -> Result<Vec<PartHead>, String> {
        let mut heads = Vec::new();
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number > wanted.parts {
                return Ok(heads);
            }
            heads.push(self.head_part(wanted, number).await?);
        }
    }

    async fn head_part(&self, wanted: &Wanted<'_>, number: u32) -> Result<PartHead, String> {
        let request = wanted
            .object
            .request(Method::HEAD)
            .query("partNumber", number.to_string())
            .header("if-match", wanted.etag)
            .header("x-amz-checksum-mode", "ENABLED");
        let answer = match self.send(&request, &mut Attempts::default()).await {
            Ok(answer) => answer,
            Err(error) if error.kind() == ErrorKind::ObjectChanged => return Err(another_version(number)),
            Err(error) => return Err(not_told(number, &error)),
        };
        PartHead::read(&answer, wanted, number)
    }
}

/// What is asked for, and of which version.
struct Wanted<'a> {
    object: &'a ObjectRef,
    identity: &'a ObjectIdentity,
    etag: &'a str,
    kind: Kind,
    parts: u32,
}

impl Wanted<'_> {
    /// Where both have one (I3).
    fn is_version(&self, version: Option<&str>) -> bool {
        match (version.filter(|id| *id != "null"), &self.identity.version_id) {
            (Some(got), Some(pinned)) => got == pinned,
            _ => true,
        }
    }
}

/// Why there is no layout.
enum NoLayout {
    /// This way did not lead there; another may.
    Here(String),
    Final(String),
}

impl From<String> for NoLayout {
    fn from(why: String) -> Self {
        Self::Here(why)
    }
}

/// A store that cannot be reached will not answer otherwise when asked in another way; one that refuses may.
fn refused(error: &Error) -> NoLayout {
    use ErrorKind::{Connection, Credentials, ObjectChanged, Throttled, Timeout};
    let why = format!("the store does not list the parts of the object: {}", error.message());
    match error.kind() {
        Connection | Credentials | ObjectChanged | Throttled | Timeout => NoLayout::Final(why),
        _ => NoLayout::Here(why),
    }
}

fn another_version(number: u32) -> String {
    format!("part {number} is of another version")
}

/// A HEAD that fails has no body to say why.
fn not_told(number: u32, error: &Error) -> String {
    match error.status() {
        Some(status) => format!("the store answers {status} when it is asked for part {number}"),
        None => format!("asking for part {number} failed: {}", error.message()),
    }
}

fn digest(kind: Kind, text: Option<&str>, number: u32) -> Result<Digest, String> {
    let name = kind.name();
    let text = text.ok_or_else(|| format!("the store tells no {name} of part {number}"))?;
    Digest::parse(kind, text).map_err(|_| format!("the stored {name} of part {number} is not a checksum"))
}

/// What a HEAD told of one part.
struct PartHead {
    number: u32,
    /// Where the part begins, if the answer says so.
    start: Option<u64>,
    size: u64,
    digest: Digest,
}

impl PartHead {
    fn read(answer: &Answer, wanted: &Wanted<'_>, number: u32) -> Result<Self, String> {
        if answer.header("etag") != Some(wanted.etag) || !wanted.is_version(answer.header("x-amz-version-id")) {
            return Err(another_version(number));
        }
        let lies = || format!("the store contradicts itself about part {number}");
        let count = answer.header("x-amz-mp-parts-count").map(parse_digits);
        if count.is_some_and(|count| count != Some(u64::from(wanted.parts))) {
            return Err(format!("the store does not have {} parts of the object", wanted.parts));
        }
        let size = answer.header("content-length").and_then(parse_digits);
        let size = size.ok_or_else(|| format!("the store does not tell the size of part {number}"))?;
        if answer.status() != 206 && wanted.parts > 1 && size == wanted.identity.size {
            return Err("the store answers for the whole object when it is asked for a part".into());
        }
        let start = match answer.header("content-range").map(parse_content_range) {
            None => None,
            Some(Some((range, total))) if range.end - range.start == size && total == wanted.identity.size => {
                Some(range.start)
            }
            Some(_) => return Err(lies()),
        };
        let digest = digest(wanted.kind, answer.header(wanted.kind.header()), number)?;
        Ok(Self { number, start, size, digest })
    }
}

/// Parts put one behind the other, checked with every one.
struct Assembly {
    size: u64,
    wanted: usize,
    parts: Vec<StoredPart>,
    /// Where the next part begins.
    end: u64,
}

impl Assembly {
    fn new(wanted: &Wanted<'_>) -> Self {
        Self { size: wanted.identity.size, wanted: wanted.parts as usize, parts: Vec::new(), end: 0 }
    }

    fn has_all(&self) -> bool {
        self.parts.len() >= self.wanted
    }

    fn add(&mut self, size: u64, digest: Digest) -> Result<(), String> {
        if self.has_all() {
            return Err(format!("the object has more than {} parts", self.wanted));
        }
        let end = self.end.checked_add(size).filter(|&end| end <= self.size);
        let end = end.ok_or("the parts are together larger than the object")?;
        self.parts.push(StoredPart { range: self.end..end, digest });
        self.end = end;
        Ok(())
    }

    fn finish(self) -> Result<PartLayout, String> {
        if self.parts.len() != self.wanted {
            return Err(format!("{} of {} parts are known", self.parts.len(), self.wanted));
        }
        if self.end != self.size {
            return Err("the parts are together smaller than the object".into());
        }
        Ok(PartLayout { parts: self.parts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Algorithm;
    use proptest::prelude::*;

    fn assemble(size: u64, wanted: usize, sizes: &[u64]) -> Result<PartLayout, String> {
        let mut assembly = Assembly { size, wanted, parts: Vec::new(), end: 0 };
        for (at, &size) in sizes.iter().enumerate() {
            assembly.add(size, Digest::of_crc(Algorithm::Crc32, at as u64))?;
        }
        assembly.finish()
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        let table: [(u64, usize, &[u64], Option<&str>); 9] = [
            (10, 2, &[6, 4], None),
            (10, 3, &[6, 4, 0], None),
            (0, 1, &[0], None),
            (10, 2, &[6, 3], Some("smaller")),
            (10, 2, &[6, 5], Some("larger")),
            (10, 2, &[10], Some("1 of 2")),
            (10, 1, &[10, 0], Some("more than 1")),
            (u64::MAX, 2, &[u64::MAX, 1], Some("larger")),
            (10, 2, &[6, u64::MAX - 1], Some("larger")),
        ];
        for (size, wanted, sizes, why) in table {
            let got = assemble(size, wanted, sizes);
            match why {
                None => assert!(got.is_ok(), "{sizes:?}"),
                Some(why) => assert!(got.unwrap_err().contains(why), "{sizes:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn a_layout_covers_the_object_exactly(sizes in prop::collection::vec(0..1_u64 << 40, 1..50), size in any::<u64>()) {
            let sum: u64 = sizes.iter().sum();
            let layout = assemble(sum, sizes.len(), &sizes).unwrap();
            prop_assert_eq!(layout.parts[0].range.start, 0);
            prop_assert_eq!(layout.parts[sizes.len() - 1].range.end, sum);
            for (pair, size) in layout.parts.windows(2).zip(&sizes) {
                prop_assert_eq!(pair[0].range.end, pair[1].range.start);
                prop_assert_eq!(pair[0].range.end - pair[0].range.start, *size);
            }
            prop_assert_eq!(assemble(size, sizes.len(), &sizes).is_ok(), size == sum);
        }

        #[test]
        fn no_sizes_overflow(sizes in prop::collection::vec(any::<u64>(), 1..20), size in any::<u64>()) {
            if let Ok(layout) = assemble(size, sizes.len(), &sizes) {
                prop_assert_eq!(layout.parts[sizes.len() - 1].range.end, size);
            }
        }
    }
}
