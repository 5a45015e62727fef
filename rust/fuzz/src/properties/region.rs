//! Regions from outside (S4): nothing gets into a host name but `[a-z0-9-]{1,32}`.

use reqwest::Url;
use s3z::s3::endpoint::{Endpoint, validate_region};

use super::fields;

pub fn holds(data: &[u8]) -> bool {
    let [region] = fields(data);
    let allowed = |c: char| matches!(c, 'a'..='z' | '0'..='9' | '-');
    let is_one = (1..=32).contains(&region.len()) && region.chars().all(allowed);
    assert_eq!(validate_region(&region).is_ok(), is_one, "{region:?}");
    let custom = Endpoint::parse("http://store.example:9000").expect("a good endpoint");
    assert_eq!(custom.with_region(&region).ok(), is_one.then_some(custom), "a custom endpoint stays where it is");
    let Ok(endpoint) = Endpoint::aws(&region) else {
        assert!(!is_one);
        return false;
    };
    let url = Url::parse(&format!("https://{}/", endpoint.host)).expect("a host name");
    assert_eq!(url.host_str(), Some(endpoint.host.as_str()), "no URL parser reads another host");
    assert!(endpoint.host.ends_with(".amazonaws.com") || endpoint.host.ends_with(".amazonaws.com.cn"));
    assert!(endpoint.host.starts_with(&format!("s3.{region}.")));
    true
}
