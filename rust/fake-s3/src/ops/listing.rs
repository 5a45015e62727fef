//! Pages of keys: prefix, delimiter, resume point, limit. Pure; works on any ordered map.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Where a page begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum After {
    #[default]
    Start,
    /// Behind this key.
    Key(String),
    /// Behind everything that starts with this common prefix.
    Prefix(String),
}

/// What a page should hold.
pub(crate) struct PageRequest<'a> {
    pub prefix: &'a str,
    pub delimiter: Option<&'a str>,
    pub after: After,
    pub max: usize,
}

/// A page.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Page {
    pub keys: Vec<String>,
    pub prefixes: Vec<String>,
    /// Where the next page begins, if there is one.
    pub next: Option<After>,
}

/// Collects a page from the keys of `map` whose value is `visible`.
pub(crate) fn page<V>(map: &BTreeMap<String, V>, visible: &dyn Fn(&V) -> bool, request: &PageRequest) -> Page {
    let start = match &request.after {
        After::Start => Bound::Included(request.prefix.to_owned()),
        After::Key(key) if key.as_str() < request.prefix => Bound::Included(request.prefix.to_owned()),
        After::Key(key) => Bound::Excluded(key.clone()),
        After::Prefix(prefix) => Bound::Included(prefix.clone().max(request.prefix.to_owned())),
    };
    let mut skipped = match &request.after {
        After::Prefix(prefix) => Some(prefix.clone()),
        _ => None,
    };
    let mut page = Page::default();
    let mut last = After::Start;
    for (key, value) in map.range((start, Bound::Unbounded)) {
        let Some(rest) = key.strip_prefix(request.prefix) else {
            break;
        };
        if !visible(value) || skipped.as_ref().is_some_and(|prefix| key.starts_with(prefix)) {
            continue;
        }
        if page.keys.len() + page.prefixes.len() >= request.max {
            page.next = Some(last);
            return page;
        }
        let delimiter = request.delimiter.filter(|delimiter| !delimiter.is_empty());
        match delimiter.and_then(|delimiter| rest.find(delimiter).map(|at| at + delimiter.len())) {
            Some(at) => {
                let common = key[..request.prefix.len() + at].to_owned();
                last = After::Prefix(common.clone());
                skipped = Some(common.clone());
                page.prefixes.push(common);
            }
            None => {
                last = After::Key(key.clone());
                page.keys.push(key.clone());
            }
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(prefix: &str, delimiter: Option<&str>, max: usize) -> (Vec<String>, Vec<String>, usize) {
        let map: BTreeMap<String, ()> =
            ["a", "b/1", "b/2", "b/c/3", "c", "d/1", "é"].into_iter().map(|key| (key.to_owned(), ())).collect();
        let (mut keys, mut prefixes, mut pages, mut after) = (vec![], vec![], 0, After::Start);
        loop {
            let page = page(&map, &|()| true, &PageRequest { prefix, delimiter, after, max });
            keys.extend(page.keys);
            prefixes.extend(page.prefixes);
            pages += 1;
            match page.next {
                Some(next) => after = next,
                None => return (keys, prefixes, pages),
            }
        }
    }

    #[test]
    fn pages_of_any_size_give_the_same() {
        for max in 1..9 {
            let (keys, prefixes, _) = all("", Some("/"), max);
            assert_eq!((keys, prefixes), (vec!["a".into(), "c".into(), "é".into()], vec!["b/".into(), "d/".into()]));
            assert_eq!(all("b/", Some("/"), max).0, ["b/1", "b/2"]);
            assert_eq!(all("b/", Some("/"), max).1, ["b/c/"]);
            assert_eq!(all("", None, max).0.len(), 7);
        }
        assert_eq!(all("", None, 7).2, 1);
        assert_eq!(all("", None, 6).2, 2);
    }
}
