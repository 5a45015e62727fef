//! Where requests go: the store's address, read strictly (S13), and the address of one object in it.
//!
//! Owns the choice between path and virtual-host style and the rule which other hosts a redirect may name (S9, R9).
//! Hosts are kept in the one form that URL parsers leave alone, so that what is signed is what is sent. Invariant: a
//! region, bucket or host from outside is checked before it becomes part of a host name (S4).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::AddressingStyle;
use crate::error::{Error, ErrorKind, Result, escape};

const AWS_SUFFIX: &str = "amazonaws.com";
const AWS_CHINA_SUFFIX: &str = "amazonaws.com.cn";
const MAX_HOST: usize = 253;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    pub scheme: Scheme,
    /// Lower case; an IPv6 address is in brackets.
    pub host: String,
    /// `None`: the scheme's own.
    pub port: Option<u16>,
    /// Empty, or starts with `/` and ends without.
    pub base_path: String,
    /// Not AWS.
    pub custom: bool,
    /// From a redirect: the host is complete and takes no bucket in front.
    fixed_host: bool,
}

/// Where one request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The value of `host`, to be signed; a default port is left out.
    pub host_header: String,
    /// Host and port for the URL.
    pub authority: String,
    /// Encoded, starts with `/`: to be signed and sent as is.
    pub path: String,
}

impl Endpoint {
    /// Reads an `endpoint_url`.
    pub fn parse(url: &str) -> Result<Self> {
        let url_parts = Url::split(url).map_err(|why| Error::config(format!("endpoint_url {why}")))?;
        if url_parts.has_query {
            return Err(Error::config("endpoint_url must end before the query or fragment (\"?\", \"#\")"));
        }
        check_base_path(url_parts.path)?;
        let endpoint = Self {
            scheme: url_parts.scheme,
            host: url_parts.host,
            port: url_parts.port,
            base_path: url_parts.path.trim_end_matches('/').to_owned(),
            custom: true,
            fixed_host: false,
        };
        Ok(endpoint.standard_region().and_then(|region| Self::aws(&region).ok()).unwrap_or(endpoint))
    }

    /// AWS in `region`.
    pub fn aws(region: &str) -> Result<Self> {
        validate_region(region)?;
        let suffix = if region.starts_with("cn-") { AWS_CHINA_SUFFIX } else { AWS_SUFFIX };
        Ok(Self {
            scheme: Scheme::Https,
            host: format!("s3.{region}.{suffix}"),
            port: None,
            base_path: String::new(),
            custom: false,
            fixed_host: false,
        })
    }

    /// The same store in another region; a custom endpoint stays where it is.
    pub fn with_region(&self, region: &str) -> Result<Self> {
        if self.custom {
            validate_region(region)?;
            return Ok(self.clone());
        }
        Self::aws(region)
    }

    /// The region, if this is exactly the host that `aws` makes for one.
    fn standard_region(&self) -> Option<String> {
        if self.scheme != Scheme::Https || self.port.is_some() || !self.base_path.is_empty() {
            return None;
        }
        let (front, _) = split_aws_suffix(&self.host)?;
        let region = front.strip_prefix("s3.").filter(|region| looks_like_region(region))?;
        Self::aws(region).ok().filter(|aws| aws.host == self.host).map(|_| region.to_owned())
    }

    /// The address of a key (encoded by `encode_path`), of a bucket (no key), or of the store (no bucket).
    pub fn address(&self, style: AddressingStyle, bucket: &str, encoded_key: &str) -> Address {
        let base = &self.base_path;
        if self.virtual_host(style, bucket) {
            let front = if self.fixed_host { String::new() } else { format!("{bucket}.") };
            return self.at(&front, format!("{base}/{encoded_key}"));
        }
        let path = match (bucket, encoded_key) {
            ("", _) => format!("{base}/"),
            (_, "") => format!("{base}/{bucket}"),
            _ => format!("{base}/{bucket}/{encoded_key}"),
        };
        self.at("", path)
    }

    fn at(&self, front: &str, path: String) -> Address {
        let authority = match self.port {
            Some(port) => format!("{front}{}:{port}", self.host),
            None => format!("{front}{}", self.host),
        };
        Address { host_header: authority.clone(), authority, path }
    }

    fn virtual_host(&self, style: AddressingStyle, bucket: &str) -> bool {
        if self.fixed_host {
            return !bucket.is_empty() && self.host.strip_prefix(bucket).is_some_and(|rest| rest.starts_with('.'));
        }
        let wanted = match style {
            AddressingStyle::Auto => !self.custom,
            AddressingStyle::Path => false,
            AddressingStyle::Virtual => true,
        };
        wanted && fits_host_name(bucket, self.scheme) && self.ip().is_none()
    }

    /// Whether requests stay on this machine.
    pub fn is_loopback(&self) -> bool {
        match self.ip() {
            Some(ip) => ip.is_loopback(),
            None => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }

    fn ip(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// The target of a redirect, if it keeps scheme and port and is this host, a host below it, or, for AWS, S3 in
    /// the same partition (R9). Ask the configured endpoint at every hop, not the target of the last one.
    pub fn allows_redirect_to(&self, url: &str) -> Result<Self> {
        let refuse = |why: &str| {
            let text = format!("the store redirects this request to a place where it must not go: {why}");
            Err(Error::new(ErrorKind::Service, text))
        };
        let target = match Url::split(url) {
            Ok(target) => target,
            Err(why) => return refuse(&format!("its URL {why}")),
        };
        if target.scheme != self.scheme {
            return refuse("another scheme");
        }
        if target.port != self.port {
            return refuse("another port");
        }
        let below = target.host.strip_suffix(&self.host).is_some_and(|front| front.ends_with('.'));
        let same_store = target.host == self.host || (below && self.ip().is_none());
        if !same_store && (self.custom || !same_partition_s3(&self.host, &target.host)) {
            return refuse(&format!("host \"{}\" does not belong to the endpoint", escape(&target.host, MAX_HOST)));
        }
        let fixed_host = target.host != self.host || self.fixed_host;
        Ok(Self { host: target.host, fixed_host, ..self.clone() })
    }
}

/// Refuses what could not stand in a host name (S4).
pub fn validate_region(region: &str) -> Result<()> {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if (1..=32).contains(&region.len()) && region.bytes().all(valid) {
        return Ok(());
    }
    let text = "is not a region name: use 1 to 32 lower-case letters, digits and \"-\"";
    Err(Error::config(format!("\"{}\" {text}", escape(region, 64))))
}

/// A bucket that can be a part of a host name. Under TLS a dot would leave the certificate's wildcard.
fn fits_host_name(bucket: &str, scheme: Scheme) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (3..=63).contains(&bucket.len())
        && bucket.split('.').all(label)
        && (scheme == Scheme::Http || !bucket.contains('.'))
}

/// What stands before `.amazonaws.com` or `.amazonaws.com.cn`, and which of them it is.
fn split_aws_suffix(host: &str) -> Option<(&str, &'static str)> {
    [AWS_SUFFIX, AWS_CHINA_SUFFIX].into_iter().find_map(|suffix| {
        let front = host.strip_suffix(suffix)?.strip_suffix('.')?;
        Some((front, suffix))
    })
}

/// Whether `target` is a host of S3 itself, with or without a bucket, in the partition of `host`.
fn same_partition_s3(host: &str, target: &str) -> bool {
    let (Some((_, ours)), Some((front, theirs))) = (split_aws_suffix(host), split_aws_suffix(target)) else {
        return false;
    };
    let labels: Vec<&str> = front.rsplit('.').collect();
    ours == theirs
        && match labels[..] {
            ["s3" | "s3-external-1", ..] => true,
            [region, "s3" | "s3-fips", ..] | [region, "dualstack", "s3" | "s3-fips", ..] => looks_like_region(region),
            [last, ..] => last.strip_prefix("s3-").is_some_and(looks_like_region),
            [] => false,
        }
}

/// `eu-west-1`, `us-gov-east-1`: two letters, words, a number.
fn looks_like_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [first, words @ .., number] = parts.as_slice() else { return false };
    let word = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
    first.len() == 2
        && word(first)
        && !words.is_empty()
        && words.iter().all(word)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The parts of a URL, checked as far as endpoint and redirect have rules in common.
struct Url<'a> {
    scheme: Scheme,
    host: String,
    port: Option<u16>,
    path: &'a str,
    has_query: bool,
}

impl<'a> Url<'a> {
    /// The error says what is wrong, and shows nothing of the URL: it may hold a password or a signature (S7).
    fn split(url: &'a str) -> std::result::Result<Self, &'static str> {
        let (scheme, rest) = url.split_once("://").ok_or("must start with http:// or https://")?;
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err("must start with http:// or https://"),
        };
        if rest.bytes().any(|byte| byte.is_ascii_control() || matches!(byte, b' ' | b'\\')) {
            return Err("must not have white space, control characters or backslashes");
        }
        let plain = rest.split(['?', '#']).next().unwrap_or_default();
        let (authority, path) = plain.split_at(plain.find('/').unwrap_or(plain.len()));
        if authority.contains('@') {
            return Err("must not have a user name or password");
        }
        let (host, port) = split_port(authority)?;
        let port = port.filter(|&port| port != scheme.default_port());
        Ok(Self { scheme, host: check_host(host)?, port, path, has_query: plain.len() < rest.len() })
    }
}

fn split_port(authority: &str) -> std::result::Result<(&str, Option<u16>), &'static str> {
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    let Some(colon) = authority[after_address..].find(':') else { return Ok((authority, None)) };
    let (host, port) = authority.split_at(after_address + colon);
    let digits = &port[1..];
    match digits.parse() {
        Ok(port) if port > 0 && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok((host, Some(port))),
        _ => Err("must have a port from 1 to 65535, or none"),
    }
}

/// The host in the form that no URL parser changes.
fn check_host(host: &str) -> std::result::Result<String, &'static str> {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| "must have a valid IPv6 address in the brackets")?;
        return Ok(format!("[{address}]"));
    }
    let host = host.to_ascii_lowercase();
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if host.len() > MAX_HOST || !host.split('.').all(|label| !label.is_empty() && label.bytes().all(valid)) {
        return Err("must have a host of letters, digits, \"-\" and \".\" (write other scripts as xn--…)");
    }
    let last = host.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    if numeric && host.parse::<Ipv4Addr>().is_err() {
        return Err("must have a host name, or an IPv4 address of four decimal numbers");
    }
    Ok(host)
}

/// Refuses a path prefix that servers or URL parsers could read in two ways.
fn check_base_path(path: &str) -> Result<()> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'/');
    if path.bytes().all(valid) && !path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Ok(());
    }
    Err(Error::config("endpoint_url may have a path of letters, digits and \"-._~/\" only, without dot segments"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoint(url: &str) -> Endpoint {
        Endpoint::parse(url).unwrap()
    }

    fn at(url: &str, style: AddressingStyle, bucket: &str, key: &str) -> String {
        let address = endpoint(url).address(style, bucket, key);
        assert_eq!(address.host_header, address.authority);
        format!("{} {}", address.authority, address.path)
    }

    #[test]
    fn parses_urls() {
        let table = [
            ("https://minio.example.com", "minio.example.com", None, ""),
            ("HTTP://Host:9000/", "host", Some(9000), ""),
            ("http://127.0.0.1:80", "127.0.0.1", None, ""),
            ("https://h:443/a/b//", "h", None, "/a/b"),
            ("http://h:443", "h", Some(443), ""),
            ("http://[0:0::1]:8080", "[::1]", Some(8080), ""),
            ("http://[2001:DB8::1]", "[2001:db8::1]", None, ""),
            ("http://under_score", "under_score", None, ""),
        ];
        for (url, host, port, base) in table {
            let endpoint = endpoint(url);
            let got = (endpoint.host.as_str(), endpoint.port, endpoint.base_path.as_str(), endpoint.custom);
            assert_eq!(got, (host, port, base, true), "{url}");
        }
    }

    #[test]
    fn refuses_urls_without_showing_them() {
        let table = [
            ("", "must start with"),
            ("CANARY", "must start with"),
            ("s3://CANARY", "must start with"),
            ("https://user:CANARY@h", "user name or password"),
            ("https://CANARY@h/", "user name or password"),
            ("https://h?x=CANARY", "before the query"),
            ("https://h/p?CANARY", "before the query"),
            ("https://h#CANARY", "before the query"),
            ("https://h?", "before the query"),
            ("https://", "host of letters"),
            ("https:///p", "host of letters"),
            ("https://a..b", "host of letters"),
            ("https://a.", "host of letters"),
            ("https://ü.de", "host of letters"),
            ("https://a%62c", "host of letters"),
            ("https://127.1", "IPv4"),
            ("https://2130706433", "IPv4"),
            ("https://0x7f000001", "IPv4"),
            ("https://1.2.3.4.5", "IPv4"),
            ("https://[::1", "port"),
            ("https://[::1%25eth0]", "IPv6"),
            ("https://[::1]x", "host of letters"),
            ("https://h:", "port"),
            ("https://h:0", "port"),
            ("https://h:+1", "port"),
            ("https://h:65536", "port"),
            ("https://h:1:2", "port"),
            ("https://h /", "white space"),
            ("https://h\\@evil", "backslashes"),
            ("https://h/a\n", "white space"),
            ("https://h/../x", "dot segments"),
            ("https://h/%2e%2e", "dot segments"),
        ];
        for (url, why) in table {
            let error = Endpoint::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(error.message().contains(why), "{url}: {}", error.message());
            assert!(!error.message().contains("CANARY"), "{url}");
        }
    }

    #[test]
    fn aws_hosts() {
        assert_eq!(Endpoint::aws("eu-west-1").unwrap().host, "s3.eu-west-1.amazonaws.com");
        assert_eq!(Endpoint::aws("cn-north-1").unwrap().host, "s3.cn-north-1.amazonaws.com.cn");
        assert_eq!(endpoint("https://s3.eu-west-1.amazonaws.com/"), Endpoint::aws("eu-west-1").unwrap());
        assert_eq!(endpoint("https://s3.cn-north-1.amazonaws.com.cn"), Endpoint::aws("cn-north-1").unwrap());
        for custom in ["http://s3.eu-west-1.amazonaws.com", "https://s3.evil.amazonaws.com", "https://s3.amazonaws.com"]
        {
            assert!(endpoint(custom).custom, "{custom}");
        }
        let moved = Endpoint::aws("eu-west-1").unwrap().with_region("us-east-2").unwrap();
        assert_eq!(moved.host, "s3.us-east-2.amazonaws.com");
        let custom = endpoint("http://h:9000");
        assert_eq!(custom.with_region("us-east-2").unwrap(), custom);
    }

    #[test]
    fn regions() {
        let long = "a".repeat(32);
        for good in ["us-east-1", "auto", "garage", "1", &long] {
            assert!(validate_region(good).is_ok(), "{good}");
        }
        let longer = "a".repeat(33);
        for bad in ["", "EU", "a.b", "a/b", "evil.com#", "a b", "ü", "a\n", "a@b", &longer] {
            assert!(validate_region(bad).is_err(), "{bad}");
            assert!(Endpoint::aws(bad).is_err(), "{bad}");
            assert!(endpoint("http://h").with_region(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses() {
        use AddressingStyle::{Auto, Path, Virtual};
        let aws = "https://s3.eu-west-1.amazonaws.com";
        let table = [
            (aws, Auto, "bucket", "k", "bucket.s3.eu-west-1.amazonaws.com /k"),
            (aws, Auto, "bucket", "", "bucket.s3.eu-west-1.amazonaws.com /"),
            (aws, Auto, "bucket", "/k//", "bucket.s3.eu-west-1.amazonaws.com //k//"),
            (aws, Auto, "", "", "s3.eu-west-1.amazonaws.com /"),
            (aws, Path, "bucket", "k", "s3.eu-west-1.amazonaws.com /bucket/k"),
            (aws, Auto, "my.bucket", "k", "s3.eu-west-1.amazonaws.com /my.bucket/k"),
            (aws, Virtual, "my.bucket", "k", "s3.eu-west-1.amazonaws.com /my.bucket/k"),
            (aws, Auto, "My_Bucket", "k", "s3.eu-west-1.amazonaws.com /My_Bucket/k"),
            (aws, Auto, "ab", "k", "s3.eu-west-1.amazonaws.com /ab/k"),
            ("http://h:9000", Auto, "bucket", "a%20b", "h:9000 /bucket/a%20b"),
            ("http://h:9000", Auto, "bucket", "", "h:9000 /bucket"),
            ("http://h:9000", Auto, "", "", "h:9000 /"),
            ("http://h:9000", Virtual, "bucket", "k", "bucket.h:9000 /k"),
            ("http://h", Virtual, "my.bucket", "k", "my.bucket.h /k"),
            ("http://h/base/", Path, "bucket", "k", "h /base/bucket/k"),
            ("http://h/base", Virtual, "bucket", "k", "bucket.h /base/k"),
            ("http://127.0.0.1:9", Virtual, "bucket", "k", "127.0.0.1:9 /bucket/k"),
            ("http://[::1]:9", Virtual, "bucket", "k", "[::1]:9 /bucket/k"),
        ];
        for (url, style, bucket, key, expected) in table {
            assert_eq!(at(url, style, bucket, key), expected);
        }
    }

    #[test]
    fn loopback() {
        for url in ["http://127.0.0.1", "http://127.9.9.9:1", "http://[::1]", "http://localhost", "http://b.localhost"]
        {
            assert!(endpoint(url).is_loopback(), "{url}");
        }
        for url in ["http://128.0.0.1", "http://[::2]", "http://localhost.evil.com", "http://notlocalhost"] {
            assert!(!endpoint(url).is_loopback(), "{url}");
        }
    }

    #[test]
    fn redirects_within_the_store() {
        let aws = "https://s3.us-east-1.amazonaws.com";
        let table = [
            ("http://h.com:9", "http://h.com:9/bucket/k", "h.com:9 /bucket/key"),
            ("http://h.com:9/base", "http://node.h.com:9/base/bucket/k?x=y", "node.h.com:9 /base/bucket/key"),
            ("http://h.com", "http://bucket.h.com:80/k", "bucket.h.com /key"),
            (aws, "https://bucket.s3-us-west-2.amazonaws.com/k", "bucket.s3-us-west-2.amazonaws.com /key"),
            (aws, "https://bucket.s3.us-west-2.amazonaws.com/k", "bucket.s3.us-west-2.amazonaws.com /key"),
            (aws, "https://s3.us-gov-west-1.amazonaws.com/bucket/k", "s3.us-gov-west-1.amazonaws.com /bucket/key"),
            (aws, "https://bucket.s3.amazonaws.com/k", "bucket.s3.amazonaws.com /key"),
            (aws, "https://s3.dualstack.us-west-2.amazonaws.com/", "s3.dualstack.us-west-2.amazonaws.com /bucket/key"),
            (aws, "https://s3-external-1.amazonaws.com/bucket/k", "s3-external-1.amazonaws.com /bucket/key"),
        ];
        for (from, to, expected) in table {
            let address =
                endpoint(from).allows_redirect_to(to).unwrap().address(AddressingStyle::Auto, "bucket", "key");
            assert_eq!(format!("{} {}", address.authority, address.path), expected, "{to}");
        }
    }

    #[test]
    fn redirects_elsewhere_are_refused() {
        let aws = "https://s3.us-east-1.amazonaws.com";
        let table = [
            ("https://h.com", "http://h.com/"),
            ("http://h.com", "https://h.com/"),
            ("http://h.com", "http://h.com:81/"),
            ("http://h.com", "http://evil.com/"),
            ("http://h.com", "http://evilh.com/"),
            ("http://h.com", "http://h.com.evil.com/"),
            ("http://h.com", "http://h.com@evil.com/"),
            ("http://h.com", "http://u:p@h.com/"),
            ("http://h.com", "//h.com/"),
            ("http://h.com", "/bucket/k"),
            ("http://h.com", "http://h.com\\.evil.com/"),
            ("http://127.0.0.1", "http://127.0.0.2/"),
            ("http://127.0.0.1", "http://localhost/"),
            ("https://h.com", "https://bucket.s3.us-west-2.amazonaws.com/"),
            (aws, "https://evil.amazonaws.com/"),
            (aws, "https://evil.us-west-2.amazonaws.com/"),
            (aws, "https://s3.evil.us-west-2.compute.amazonaws.com/"),
            (aws, "https://s3-website-us-west-2.amazonaws.com/"),
            (aws, "https://s3.us-west-2.elb.amazonaws.com/"),
            (aws, "https://s3.us-west-2.amazonaws.com.evil.com/"),
            (aws, "https://s3.us-west-2.evilamazonaws.com/"),
            (aws, "https://s3.cn-north-1.amazonaws.com.cn/"),
            (aws, "http://s3.us-west-2.amazonaws.com/"),
            (aws, ""),
        ];
        for (from, to) in table {
            let error = endpoint(from).allows_redirect_to(to).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Service, "{from} {to}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(url in any::<String>(), tail in "[a-z0-9:/@?#\\[\\].%-]{0,20}") {
            let _ = Endpoint::parse(&url);
            let _ = Endpoint::parse(&format!("http://{tail}"));
            let _ = endpoint("http://h").allows_redirect_to(&format!("http://{tail}"));
        }

        #[test]
        fn a_parsed_endpoint_is_read_again_the_same(tail in "[A-Za-z0-9:/.-]{1,20}") {
            if let Ok(first) = Endpoint::parse(&format!("http://{tail}")) {
                let port = first.port.map(|port| format!(":{port}")).unwrap_or_default();
                let url = format!("{}://{}{port}{}", first.scheme.as_str(), first.host, first.base_path);
                prop_assert_eq!(Endpoint::parse(&url).unwrap(), first);
            }
        }

        #[test]
        fn a_redirect_never_leaves_the_host(host in "[a-z.@:/\\\\-]{0,8}h\\.com[a-z.@:/\\\\-]{0,8}") {
            if let Ok(target) = endpoint("http://h.com").allows_redirect_to(&format!("http://{host}")) {
                prop_assert!(target.host == "h.com" || target.host.ends_with(".h.com"));
            }
        }
    }
}
