//! Endpoints and redirect targets (S9, S13, R9, #26): lines are the endpoint's URL, a redirect's target, a bucket and a
//! key. What is accepted means the same host to a URL parser, and no redirect leaves the store.

use reqwest::Url;
use s3z::config::AddressingStyle;
use s3z::s3::encode::encode_path;
use s3z::s3::endpoint::Endpoint;
use s3z::uri::{check_key, validate_bucket};

use super::{fields, is_plain};

pub fn holds(data: &[u8]) -> bool {
    let [url, target, bucket, key] = fields(data);
    let endpoint = match Endpoint::parse(&url) {
        Ok(endpoint) => endpoint,
        Err(error) => {
            assert!(is_plain(error.message()) && error.message().len() < 400, "{}", error.message());
            return false;
        }
    };
    assert!(!url.contains(['@', '?', '#', '\\']) && !url.chars().any(|c| c.is_ascii_control()), "S13");
    reads_again_the_same(&endpoint);
    if validate_bucket(&bucket).is_ok() && check_key(&key).is_ok() {
        for style in [AddressingStyle::Auto, AddressingStyle::Path, AddressingStyle::Virtual] {
            is_sent_as_signed(&endpoint, style, &bucket, &key);
        }
    }
    stays_at_the_store(&endpoint, &target);
    true
}

fn reads_again_the_same(endpoint: &Endpoint) {
    let port = endpoint.port.map(|port| format!(":{port}")).unwrap_or_default();
    let text = format!("{}://{}{port}{}", endpoint.scheme.as_str(), endpoint.host, endpoint.base_path);
    assert_eq!(Endpoint::parse(&text).ok().as_ref(), Some(endpoint));
}

/// S12: a URL parser leaves host and path as they are signed.
fn is_sent_as_signed(endpoint: &Endpoint, style: AddressingStyle, bucket: &str, key: &str) {
    let address = endpoint.address(style, bucket, &encode_path(key));
    let text = format!("{}://{}{}", endpoint.scheme.as_str(), address.authority, address.path);
    let url = Url::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(url.path(), address.path, "{text}");
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    assert_eq!(format!("{}{port}", url.host_str().unwrap_or_default()), address.host_header, "{text}");
    assert!(url.username().is_empty() && url.password().is_none() && url.query().is_none());
    let front = url.host_str().unwrap_or_default().strip_suffix(&endpoint.host).expect("the endpoint's own host");
    assert!(front.is_empty() || front == format!("{bucket}."), "{text}");
}

/// R9: the host a URL parser would connect to is the store's.
fn stays_at_the_store(endpoint: &Endpoint, target: &str) {
    let Ok(allowed) = endpoint.allows_redirect_to(target) else { return };
    let url = Url::parse(target).unwrap_or_else(|error| panic!("{target:?} was allowed: {error}"));
    assert_eq!(url.scheme(), endpoint.scheme.as_str());
    assert_eq!((url.port(), allowed.port), (endpoint.port, endpoint.port), "{target:?}");
    assert_eq!(url.host_str(), Some(allowed.host.as_str()), "{target:?}");
    assert!(url.username().is_empty() && url.password().is_none(), "{target:?}");
    let below = allowed.host.ends_with(&format!(".{}", endpoint.host));
    let aws = !endpoint.custom && is_aws(&endpoint.host) && is_aws(&allowed.host);
    assert!(allowed.host == endpoint.host || below || aws, "{target:?} from {}", endpoint.host);
}

fn is_aws(host: &str) -> bool {
    host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn")
}
