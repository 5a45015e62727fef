//! Object tags, kept as the query string they came in.

use std::sync::Arc;

use crate::error::Fail;
use crate::http::answer::Answer;
use crate::http::body::Body;
use crate::ops::{Context, XML_LIMIT};
use crate::store::object::{Object, Stored};
use crate::sync::lock;
use crate::uri::{Query, encode};
use crate::xml::{Element, Writer};

pub(crate) fn get(context: &Context) -> Result<Answer, Fail> {
    let request = context.request;
    let object = lock(&context.shared.store).object(request.bucket(), request.key(), request.version())?;
    let mut out = Writer::new("Tagging");
    out.open("TagSet");
    for (name, value) in Query::parse(object.tagging.as_deref().unwrap_or_default()).unwrap_or_default().0 {
        out.open("Tag").text("Key", name).text("Value", value).close();
    }
    Ok(Answer::xml(out.finish()))
}

pub(crate) fn put(context: &Context, body: &mut Body) -> Result<Answer, Fail> {
    let root = Element::parse(&body.collect(XML_LIMIT)?)?;
    let tags = root.child("TagSet").map(|set| set.all("Tag").collect::<Vec<_>>()).unwrap_or_default();
    let pair = |tag: &&Element| {
        let part = |name| encode(tag.text_of(name).unwrap_or_default().as_bytes(), false);
        format!("{}={}", part("Key"), part("Value"))
    };
    let text = tags.iter().map(pair).collect::<Vec<_>>().join("&");
    set(context, Some(text).filter(|text| !text.is_empty()))?;
    Ok(Answer::new(200))
}

pub(crate) fn delete(context: &Context) -> Result<Answer, Fail> {
    set(context, None)?;
    Ok(Answer::new(204))
}

fn set(context: &Context, tagging: Option<String>) -> Result<(), Fail> {
    let request = context.request;
    let mut store = lock(&context.shared.store);
    let bucket = store.bucket_mut(request.bucket())?;
    let found = bucket.find(request.key(), request.version())?;
    for object in bucket.objects.get_mut(request.key()).into_iter().flatten() {
        if Arc::ptr_eq(object, &found) {
            *object = Arc::new(with_tags(&found, tagging.clone()));
        }
    }
    Ok(())
}

fn with_tags(object: &Object, tagging: Option<String>) -> Object {
    Object {
        version_id: object.version_id.clone(),
        etag: object.etag.clone(),
        content: object.content.clone(),
        modified: object.modified,
        headers: object.headers.clone(),
        tagging,
        stored: object.checksum().map_or(Stored::None, Stored::Known),
        parts: object.parts.clone(),
        is_delete_marker: false,
    }
}
