//! The control port: one JSON command per line, one JSON answer per line.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::auth::Credentials;
use crate::checksum::{Algorithm, from_base64, to_base64};
use crate::config::Switches;
use crate::log::{LogRecord, bytes_sent_twice};
use crate::proxy::{Fault, Proxy};
use crate::rule::Rule;
use crate::shared::Shared;
use crate::store::Store;
use crate::swap::{self, PatternObject};
use crate::sync::lock;
use crate::threads;
use crate::{OpenUpload, to_base64 as base64};

/// Serves commands until the server stops.
pub(crate) fn accept_loop(listener: &TcpListener, shared: &Arc<Shared>) {
    for tcp in listener.incoming() {
        if shared.limits.stopped() {
            return;
        }
        let Ok(tcp) = tcp else { continue };
        let shared = Arc::clone(shared);
        // A control client that leaves is no error; one that gets no thread sees its connection close.
        let _ = threads::start("control", move || drop(serve(&tcp, &shared)));
    }
}

fn serve(tcp: &TcpStream, shared: &Shared) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let mut out = tcp;
    for line in BufReader::new(tcp).lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let mut answer = match serde_json::from_str::<Command>(&line) {
            Ok(command) => run(shared, command).unwrap_or_else(|error| json!({"ok": false, "error": error})),
            Err(error) => json!({"ok": false, "error": error.to_string()}),
        };
        if answer.get("ok").is_none() {
            answer["ok"] = json!(true);
        }
        out.write_all(format!("{answer}\n").as_bytes())?;
    }
    Ok(())
}

/// A command of the control port.
#[derive(Deserialize)]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
enum Command {
    AddRule {
        rule: Box<Rule>,
    },
    ClearRules {},
    Log {
        #[serde(default)]
        operation: Option<String>,
        #[serde(default)]
        key: Option<String>,
        #[serde(default)]
        since: u64,
    },
    ClearLog {},
    SentTwice {
        bucket: String,
        key: String,
    },
    OpenUploads {},
    CreateBucket {
        bucket: String,
    },
    PutPattern {
        bucket: String,
        key: String,
        size: u64,
        #[serde(default)]
        seed: u64,
        #[serde(default)]
        part_size: Option<u64>,
        #[serde(default)]
        algorithm: Option<String>,
        #[serde(default)]
        composite: bool,
    },
    Put {
        bucket: String,
        key: String,
        #[serde(default)]
        data: Option<String>,
        #[serde(default)]
        text: Option<String>,
    },
    Get {
        bucket: String,
        key: String,
    },
    Crc {
        bucket: String,
        key: String,
    },
    Keys {
        bucket: String,
    },
    SwapVersion {
        bucket: String,
        key: String,
        #[serde(default)]
        seed: Option<u64>,
        #[serde(default)]
        size: Option<u64>,
    },
    ShiftClock {
        seconds: i64,
    },
    RotateKeys {
        access_key: String,
        secret_key: String,
        #[serde(default)]
        session_token: Option<String>,
    },
    Connections {},
    Set {
        switches: Value,
    },
    Proxy {
        order: ProxyOrder,
        #[serde(default)]
        fault: Option<Fault>,
    },
    Reset {},
    Stop {},
}

/// What the proxy before this server shall do.
#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum ProxyOrder {
    Start,
    Fault,
    Clear,
    KillAll,
    SilenceAll,
    Status,
    Stop,
}

fn run(shared: &Shared, command: Command) -> Result<Value, String> {
    match command {
        Command::AddRule { rule } => lock(&shared.rules).add(*rule),
        Command::ClearRules {} => lock(&shared.rules).clear(),
        Command::ClearLog {} => lock(&shared.log).records.clear(),
        Command::Log { operation, key, since } => return Ok(log_answer(shared, operation, key, since)),
        Command::SentTwice { bucket, key } => {
            return Ok(json!({"bytes": bytes_sent_twice(&settled_log(shared), &bucket, &key)}));
        }
        Command::OpenUploads {} => return Ok(json!({"uploads": open_uploads(shared)})),
        Command::Connections {} => return Ok(json!({"connections": lock(&shared.open).len()})),
        Command::ShiftClock { seconds } => shared.shift_clock(seconds),
        Command::RotateKeys { access_key, secret_key, session_token } => {
            rotate(shared, &access_key, &secret_key, session_token.as_deref());
        }
        Command::Set { switches } => return set(shared, &switches),
        Command::Proxy { order, fault } => return proxy(shared, &order, fault),
        Command::Reset {} => reset(shared),
        Command::Stop {} => shared.limits.stopped.store(true, Ordering::SeqCst),
        other => return run_object(shared, other),
    }
    Ok(json!({}))
}

fn run_object(shared: &Shared, command: Command) -> Result<Value, String> {
    let done = |result: Result<(), crate::error::S3Error>| result.map(|()| json!({})).map_err(|error| error.message);
    match command {
        Command::CreateBucket { bucket } => {
            swap::create_bucket(shared, &bucket);
            Ok(json!({}))
        }
        Command::PutPattern { bucket, key, size, seed, part_size, algorithm, composite } => {
            let algorithm = match algorithm {
                Some(name) => Some(Algorithm::parse(&name).ok_or("unknown algorithm")?),
                None => None,
            };
            swap::create_bucket(shared, &bucket);
            let pattern = PatternObject { size, seed, part_size, algorithm, is_composite: composite };
            done(swap::put_pattern(shared, &bucket, &key, &pattern))
        }
        Command::Put { bucket, key, data, text } => {
            let bytes = match (data, text) {
                (Some(data), _) => from_base64(&data).ok_or("data is not base64")?,
                (None, text) => text.unwrap_or_default().into_bytes(),
            };
            swap::create_bucket(shared, &bucket);
            done(swap::put_bytes(shared, &bucket, &key, bytes))
        }
        Command::SwapVersion { bucket, key, seed, size } => done(swap::swap(shared, &bucket, &key, seed, size)),
        Command::Get { bucket, key } => {
            let object = lock(&shared.store).object(&bucket, &key, None).map_err(|error| error.message)?;
            let bytes = object.content.to_vec().map_err(|error| error.to_string())?;
            Ok(json!({"data": base64(&bytes)}))
        }
        Command::Keys { bucket } => {
            let store = lock(&shared.store);
            let bucket = store.bucket(&bucket).map_err(|error| error.message)?;
            let keys: Vec<_> = bucket.objects.keys().filter(|key| bucket.current(key).is_some()).collect();
            Ok(json!({"keys": keys}))
        }
        Command::Crc { bucket, key } => crc(shared, &bucket, &key),
        _ => Err("not an object command".to_owned()),
    }
}

fn crc(shared: &Shared, bucket: &str, key: &str) -> Result<Value, String> {
    let object = lock(&shared.store).object(bucket, key, None).map_err(|error| error.message)?;
    let stored = object.checksum();
    let mut answer = json!({
        "size": object.size(),
        "etag": object.etag,
        "parts": object.parts.len(),
        "stored": stored.as_ref().map(|sum| json!({
            "algorithm": sum.algorithm.name(), "type": sum.kind.name(), "value": sum.value,
        })),
    });
    for algorithm in [Algorithm::Crc64Nvme, Algorithm::Crc32, Algorithm::Crc32c] {
        let value = match object.content.is_kept() {
            true => Some(to_base64(&object.content.checksum(algorithm).map_err(|error| error.to_string())?)),
            false => stored.clone().filter(|sum| sum.algorithm == algorithm).map(|sum| sum.value),
        };
        answer[algorithm.name().to_lowercase()] = json!(value);
    }
    Ok(answer)
}

fn log_answer(shared: &Shared, operation: Option<String>, key: Option<String>, since: u64) -> Value {
    let mut records = settled_log(shared);
    records.retain(|record| {
        record.seq > since
            && operation.as_ref().is_none_or(|wanted| *wanted == record.operation)
            && (key.is_none() || key == record.key)
    });
    json!({"records": records})
}

/// All records, once no request is just ending, or after 100 ms.
pub(crate) fn settled_log(shared: &Shared) -> Vec<LogRecord> {
    let patience = Instant::now() + Duration::from_millis(100);
    loop {
        {
            let log = lock(&shared.log);
            if log.is_quiet() || Instant::now() > patience {
                return log.records.clone();
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn open_uploads(shared: &Shared) -> Vec<OpenUpload> {
    let store = lock(&shared.store);
    let uploads =
        store.buckets.iter().flat_map(|(name, bucket)| bucket.uploads.values().map(move |upload| (name, upload)));
    uploads
        .map(|(name, upload)| OpenUpload {
            bucket: name.clone(),
            key: upload.key.clone(),
            upload_id: upload.id.clone(),
            parts: upload.parts.keys().copied().collect(),
        })
        .collect()
}

pub(crate) fn rotate(shared: &Shared, access_key: &str, secret_key: &str, session_token: Option<&str>) {
    let mut keys = lock(&shared.keys);
    for key in keys.iter_mut() {
        key.is_expired = true;
    }
    keys.retain(|key| key.access_key != access_key);
    keys.push(Credentials {
        access_key: access_key.to_owned(),
        secret_key: secret_key.to_owned(),
        session_token: session_token.map(str::to_owned),
        is_expired: false,
    });
}

/// Carries out an order to the proxy; answers with where it is and how many connections it has seen.
fn proxy(shared: &Shared, order: &ProxyOrder, fault: Option<Fault>) -> Result<Value, String> {
    let mut slot = lock(&shared.proxy);
    if *order == ProxyOrder::Start && slot.is_none() {
        let upstream = shared.address.get().ok_or("the server has no address")?;
        *slot = Some(Proxy::start(*upstream).map_err(|error| error.to_string())?);
    }
    let proxy = slot.as_ref().ok_or("no proxy was started")?;
    match (order, fault) {
        (ProxyOrder::Fault, Some(fault)) => proxy.add(fault),
        (ProxyOrder::Fault, None) => return Err("which fault?".to_owned()),
        (_, Some(_)) => return Err("a fault goes with the order \"fault\"".to_owned()),
        (ProxyOrder::Clear, None) => proxy.clear(),
        (ProxyOrder::KillAll, None) => proxy.kill_all(),
        (ProxyOrder::SilenceAll, None) => proxy.silence_all(),
        (ProxyOrder::Start | ProxyOrder::Status, None) => {}
        (ProxyOrder::Stop, None) => {
            *slot = None;
            return Ok(json!({}));
        }
    }
    let scheme = if shared.config.tls.is_some() { "https" } else { "http" };
    let endpoint = format!("{scheme}://{}", proxy.address());
    Ok(json!({"endpoint": endpoint, "accepted": proxy.accepted(), "connections": proxy.connections()}))
}

/// Overlays the given switches on those in force; answers with all of them.
fn set(shared: &Shared, changes: &Value) -> Result<Value, String> {
    let mut all = serde_json::to_value(&*shared.switches()).map_err(|error| error.to_string())?;
    for (name, value) in changes.as_object().ok_or("switches must be an object")? {
        if all.get(name).is_none() {
            return Err(format!("unknown switch {name}"));
        }
        all[name] = value.clone();
    }
    let switches: Switches = serde_json::from_value(all.clone()).map_err(|error| error.to_string())?;
    shared.set_switches(switches);
    Ok(json!({"switches": all}))
}

/// Back to the state after start: no buckets, rules, log, proxy; the first key, the real clock, the first switches.
fn reset(shared: &Shared) {
    *lock(&shared.proxy) = None;
    lock(&shared.rules).clear();
    lock(&shared.log).records.clear();
    *lock(&shared.store) = Store::default();
    shared.shift_clock(0);
    shared.restore();
}
