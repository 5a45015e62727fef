//! Many ranges of one object into memory: near ones by one request, all of one version.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use crate::config::MIB;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::engine::{Engine, unless_late};
use crate::ops::into_memory::{Place, into_memory};
use crate::ops::span::Span;
use crate::ops::stream::StreamRequest;
use crate::ops::tasks::Tasks;
use crate::progress::{Cancel, Progress};
use crate::transfer::region::{Filling, Region};

/// A request more costs about as much time as so many bytes.
const NEAR: u64 = MIB;
/// Requests of this call at once; each may have several ranges in flight.
const AT_ONCE: usize = 16;

/// Ranges that are fetched as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub range: Range<u64>,
    /// Which of the ranges asked for.
    pub members: Vec<usize>,
}

/// Ranges that touch, overlap or lie near each other become one. Empty ones are in none.
pub fn grouped(ranges: &[Range<u64>]) -> Vec<Group> {
    let mut order: Vec<usize> = (0..ranges.len()).filter(|index| !ranges[*index].is_empty()).collect();
    order.sort_by_key(|index| ranges[*index].start);
    let mut groups: Vec<Group> = Vec::new();
    for index in order {
        let range = &ranges[index];
        match groups.last_mut() {
            Some(group) if range.start <= group.range.end.saturating_add(NEAR) => {
                group.range.end = group.range.end.max(range.end);
                group.members.push(index);
            }
            _ => groups.push(Group { range: range.clone(), members: vec![index] }),
        }
    }
    groups
}

/// The bytes of a group, which the object's end may have cut.
pub struct Fetched {
    pub group: Group,
    pub memory: Arc<Vec<u8>>,
}

/// Memory of our own.
#[derive(Default)]
pub struct Own(Option<Filling>);

impl Place for Own {
    fn region(&mut self, len: u64) -> Result<Arc<Region>> {
        Ok(self.0.insert(Filling::new(len)?).region().clone())
    }
}

impl Own {
    /// What `into_memory` has filled.
    #[expect(unsafe_code, reason = "the memory was allocated without being written")]
    fn into_full(self) -> Vec<u8> {
        // SAFETY: only called after `into_memory` ended well, which is when every byte of the region was received.
        self.0.map_or_else(Vec::new, |filling| unsafe { filling.into_full() })
    }
}

/// All of what one request means.
pub async fn get(
    engine: &Engine,
    request: &StreamRequest,
    progress: Arc<Progress>,
    cancel: &Cancel,
) -> Result<(Vec<u8>, crate::ops::report::TransferReport)> {
    let mut own = Own::default();
    let report = into_memory(engine, request, &mut own, progress, cancel).await?;
    Ok((own.into_full(), report))
}

/// Every group; the first one fixes the version. The span of `request` is not looked at.
pub async fn get_groups(
    engine: &Engine,
    request: StreamRequest,
    groups: Vec<Group>,
    cancel: &Cancel,
) -> Result<Vec<Fetched>> {
    let mut request = request;
    let mut fetched = Vec::with_capacity(groups.len());
    let mut tasks = Tasks::new();
    let mut groups = groups.into_iter();
    let Some(first) = groups.next() else { return Ok(fetched) };
    let late = request.deadline.map(|limit| Instant::now() + limit);
    let (memory, report) = get(engine, &of(&request, &first), Arc::default(), cancel).await?;
    fetched.push(Fetched { group: first, memory: Arc::new(memory) });
    let version = (report.etag.clone(), report.version_id);
    request.if_match = report.etag.filter(|etag| !etag.starts_with("W/")).or(request.if_match);
    let outcome = async {
        for group in groups.by_ref() {
            if tasks.len() >= AT_ONCE {
                fetched.extend(tasks.next().await.transpose()?);
            }
            request.deadline = late.map(|late| late.saturating_duration_since(Instant::now()));
            let (engine, request, cancel) = (engine.clone(), of(&request, &group), cancel.clone());
            let version = version.clone();
            tasks.spawn(async move {
                let (memory, report) = get(&engine, &request, Arc::default(), &cancel).await?;
                if (report.etag, report.version_id) != version {
                    let (object, text) = (&request.object, "the object changed while it was read");
                    let error = Error::new(ErrorKind::ObjectChanged, text);
                    return Err(error.with_object(&object.bucket, &object.key));
                }
                Ok(Fetched { group, memory: Arc::new(memory) })
            });
        }
        while let Some(one) = tasks.next().await {
            fetched.push(one?);
        }
        Ok::<(), Error>(())
    };
    let ended = unless_late(cancel, late, "get", outcome).await;
    tasks.stop().await;
    ended.map(|()| fetched)
}

fn of(request: &StreamRequest, group: &Group) -> StreamRequest {
    let Range { start, end } = group.range;
    StreamRequest { span: Span::Between { start, stop: Some(end) }, ..request.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn near_ranges_are_one_request() {
        let group = |range: Range<u64>, members: &[usize]| Group { range, members: members.to_vec() };
        let far = 10 * MIB;
        let ranges = [far..far + 5, 0..3, 2..9, 5..5, 9 + NEAR..10 + NEAR, 0..3];
        assert_eq!(grouped(&ranges), [group(0..10 + NEAR, &[1, 5, 2, 4]), group(far..far + 5, &[0])]);
        assert_eq!(grouped(&[]), []);
    }

    proptest! {
        #[test]
        fn every_byte_asked_for_is_in_one_group(
            ranges in proptest::collection::vec((0..20 * MIB, 0..MIB), 0..20),
        ) {
            let ranges: Vec<_> = ranges.into_iter().map(|(start, len)| start..start + len).collect();
            let groups = grouped(&ranges);
            for (index, range) in ranges.iter().enumerate().filter(|(_, range)| !range.is_empty()) {
                let of: Vec<_> = groups.iter().filter(|group| group.members.contains(&index)).collect();
                prop_assert_eq!(of.len(), 1);
                prop_assert!(of[0].range.start <= range.start && range.end <= of[0].range.end);
            }
            for pair in groups.windows(2) {
                prop_assert!(pair[0].range.end + NEAR < pair[1].range.start);
            }
        }
    }
}
