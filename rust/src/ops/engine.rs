//! What all operations of a client share: the S3 client, the byte budget, the I/O threads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::ClientConfig;
use crate::credentials::Signing;
use crate::error::{Error, ErrorKind, Result};
use crate::ops::descriptors::Descriptors;
use crate::progress::Cancel;
use crate::s3::client::S3Client;
use crate::transfer::journal::Journal;
use crate::transfer::lanes::Lanes;
use crate::transfer::scheduler::Scheduler;
use crate::transfer::shares::Shares;

#[derive(Clone)]
pub struct Engine {
    pub client: S3Client,
    pub scheduler: Arc<Scheduler>,
    /// What of the byte budget streams may hold.
    pub shares: Arc<Shares>,
    pub lanes: Arc<Lanes>,
    pub descriptors: Arc<Descriptors>,
    /// Where uploads are noted; `None`: nowhere.
    pub journal: Option<Journal>,
}

const NEVER: Duration = Duration::from_secs(u32::MAX as u64);

impl Engine {
    pub fn new(mut config: ClientConfig, signing: Signing) -> Result<Self> {
        let descriptors = Arc::new(Descriptors::of_this_process());
        config.transfer.max_requests = config.transfer.max_requests.min(descriptors.sockets());
        if config.transfer.max_bandwidth.is_some() {
            // Where our own limit makes requests wait, none of them is slow compared with the others.
            let transfer = &mut config.transfer;
            (transfer.pace_window, transfer.late_after, transfer.worth_splitting) = (NEVER, NEVER, NEVER);
        }
        let scheduler = Arc::new(Scheduler::new(&config.transfer));
        let shares = Shares::new(config.transfer.memory_limit);
        let journal = config.state_dir.clone().map(Journal::new);
        let client = S3Client::new(config, signing)?;
        Ok(Self { client, scheduler, shares, lanes: Arc::new(Lanes::start()?), descriptors, journal })
    }
}

/// The outcome of `work`, or `Cancelled` as soon as that is asked for.
pub async fn unless_cancelled<T>(cancel: &Cancel, work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::cancelled()),
        done = work => done,
    }
}

/// The same, or `Timeout` once the deadline has come; `transfer` is what the error calls the work.
pub async fn unless_late<T>(
    cancel: &Cancel,
    deadline: Option<Instant>,
    transfer: &str,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let late = async {
        match deadline {
            Some(at) => tokio::time::sleep_until(at.into()).await,
            None => std::future::pending().await,
        }
    };
    let timely = async {
        tokio::select! {
            biased;
            () = late => {
                let text = format!("the deadline came before the end of the {transfer}");
                Err(Error::new(ErrorKind::Timeout, text))
            }
            done = work => done,
        }
    };
    unless_cancelled(cancel, timely).await
}
