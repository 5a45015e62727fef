//! Signature version 4 with an unsigned payload, for path-style requests.
//!
//! Owns the credentials and one key per job, so a signature costs three short hashes. Only Host, x-amz-date and
//! x-amz-content-sha256 are signed; a Range may be added to a signed head freely. Queries are given sorted and encoded.
//! Source: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html>

use std::env;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::Failure;

const SIGNED: &str = "host;x-amz-content-sha256;x-amz-date";

pub struct Signer {
    access_key: String,
    region: String,
    /// `20260131T235959Z`, fixed for the whole job: it lasts seconds and a signature is good for minutes.
    time: String,
    key: [u8; 32],
}

impl Signer {
    pub fn from_environment() -> Result<Self, Failure> {
        let access_key = env::var("AWS_ACCESS_KEY_ID").map_err(|_| "AWS_ACCESS_KEY_ID is not set")?;
        let secret = env::var("AWS_SECRET_ACCESS_KEY").map_err(|_| "AWS_SECRET_ACCESS_KEY is not set")?;
        let region = env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned());
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        Ok(Self::new(access_key, &secret, region, now))
    }

    fn new(access_key: String, secret: &str, region: String, now: u64) -> Self {
        let time = basic_time(now);
        let date = hmac(format!("AWS4{secret}").as_bytes(), &time.as_bytes()[..8]);
        let region_key = hmac(&date, region.as_bytes());
        let key = hmac(&hmac(&region_key, b"s3"), b"aws4_request");
        Self { access_key, region, time, key }
    }

    /// The request line and signed headers, each ending in CRLF; the caller adds its own headers and the empty line.
    pub fn head(&self, method: &str, path: &str, query: &str, host: &str) -> String {
        let time = &self.time;
        let canonical = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:{time}\n\n\
             {SIGNED}\nUNSIGNED-PAYLOAD"
        );
        let scope = format!("{}/{}/s3/aws4_request", &time[..8], self.region);
        let hashed = hex(&Sha256::digest(canonical.as_bytes()));
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{hashed}");
        let signature = hex(&hmac(&self.key, to_sign.as_bytes()));
        let mark = if query.is_empty() { "" } else { "?" };
        format!(
            "{method} {path}{mark}{query} HTTP/1.1\r\nHost: {host}\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\n\
             x-amz-date: {time}\r\nAuthorization: AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders={SIGNED}, \
             Signature={signature}\r\n",
            self.access_key
        )
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes any text");
        text
    })
}

/// Seconds since 1970 as ISO 8601 basic UTC time (days to civil date: H. Hinnant, "chrono-compatible low-level date
/// algorithms").
fn basic_time(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::{Signer, basic_time, hex, hmac};

    #[test]
    fn tells_the_time() {
        assert_eq!(basic_time(0), "19700101T000000Z");
        assert_eq!(basic_time(951_782_400), "20000229T000000Z");
        assert_eq!(basic_time(1_440_938_160), "20150830T123600Z");
    }

    /// RFC 4231, test case 2.
    #[test]
    fn mac_is_hmac_sha256() {
        assert_eq!(
            hex(&hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    /// The derived key of AWS's worked example.
    #[test]
    fn derives_the_published_key() {
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let date = hmac(format!("AWS4{secret}").as_bytes(), b"20150830");
        let key = hmac(&hmac(&hmac(&date, b"us-east-1"), b"iam"), b"aws4_request");
        assert_eq!(hex(&key), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    #[test]
    fn head_names_what_it_signed() {
        let signer = Signer::new("AK".into(), "secret", "us-east-1".into(), 1_440_938_160);
        let head = signer.head("GET", "/b/k", "", "127.0.0.1:9");
        assert!(head.starts_with("GET /b/k HTTP/1.1\r\nHost: 127.0.0.1:9\r\n"));
        assert!(head.contains("Credential=AK/20150830/us-east-1/s3/aws4_request, SignedHeaders=host;"));
    }
}
