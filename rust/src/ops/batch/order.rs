//! `a` and `a/b` cannot both be files (K6): in an ordered listing `a` is held back until the listing has passed `a/`.

use super::entry::Entry;

/// Entries that may still turn out to be directories, each the beginning of the next one's name.
#[derive(Debug, Default)]
pub struct Held(Vec<Entry>);

/// What is known once the next name has come.
#[derive(Debug, Default)]
pub struct Known {
    pub released: Vec<Entry>,
    /// Names below which there is something.
    pub conflicts: Vec<Entry>,
}

impl Held {
    /// The next entry, `None` at the end.
    pub fn next(&mut self, entry: Option<Entry>) -> Known {
        let mut known = Known::default();
        while let Some(last) = self.0.last() {
            let rest = entry.as_ref().and_then(|entry| entry.relative.strip_prefix(last.relative.as_slice()));
            match rest.and_then(<[u8]>::first) {
                Some(byte) if *byte < b'/' => break,
                Some(b'/') => known.conflicts.extend(self.0.pop()),
                _ => known.released.extend(self.0.pop()),
            }
        }
        self.0.extend(entry);
        known
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Place;
    use super::*;
    use proptest::prelude::*;

    fn entry(name: &str) -> Entry {
        Entry { relative: name.into(), place: Place::File(name.into()), size: None, modified: None, inode: 0 }
    }

    fn all(names: &[&str]) -> (Vec<String>, Vec<String>) {
        let (mut held, mut released, mut conflicts) = (Held::default(), Vec::new(), Vec::new());
        for next in names.iter().map(|name| Some(entry(name))).chain([None]) {
            let known = held.next(next);
            let text = |entry: Entry| String::from_utf8(entry.relative).unwrap();
            released.extend(known.released.into_iter().map(text));
            conflicts.extend(known.conflicts.into_iter().map(text));
        }
        released.sort();
        (released, conflicts)
    }

    #[test]
    fn a_name_with_something_below_it_is_a_conflict() {
        let (released, conflicts) = all(&["a", "a!", "a-b", "a/b", "a/b/c", "ab"]);
        assert_eq!(conflicts, ["a", "a/b"]);
        assert_eq!(released, ["a!", "a-b", "a/b/c", "ab"]);
    }

    proptest! {
        #[test]
        fn as_a_look_at_all_names_says(names in prop::collection::btree_set("[a!/0-]{1,5}", 0..20)) {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let (released, mut conflicts) = all(&names);
            let below = |name: &&&str| names.iter().any(|other| other.starts_with(&format!("{name}/")));
            let expected: Vec<&str> = names.iter().filter(below).copied().collect();
            conflicts.sort();
            prop_assert_eq!(&conflicts, &expected);
            prop_assert_eq!(released.len() + conflicts.len(), names.len());
        }
    }
}
