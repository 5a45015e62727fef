//! Upload: one multipart upload, its parts sent by threads from positioned reads of the page cache.
//!
//! A thread owns one connection and one buffer, and takes the next part number until none is left. The ETags are kept
//! in part order for Complete. No checksum is computed and nothing is retried or aborted.
//!
//! From a pipe each thread in turn reads a whole part, and sends it while the next one reads.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use rustix::io::pread;

use crate::args::PutJob;
use crate::buffer::AlignedBuffer;
use crate::connection::Connection;
use crate::{Done, Failure, pipe};

pub fn run(job: &PutJob) -> Result<Done, Failure> {
    let file = match job.piped {
        Some(_) => pipe::input()?,
        None => File::open(&job.input)?,
    };
    let size = job.piped.map_or_else(|| file.metadata().map(|metadata| metadata.len()), Ok)?;
    if size == 0 || job.part == 0 {
        return Err("--input is empty or --part is 0".into());
    }
    let mut connection = job.target.endpoint.connect()?;
    let created = exchange(job, &mut connection, ("POST", "uploads="), "")?;
    let (_, rest) = created.split_once("<UploadId>").ok_or("no UploadId")?;
    let (id, _) = rest.split_once("</UploadId>").ok_or("no UploadId")?;
    let upload = Upload {
        job,
        file,
        size,
        id: id.to_owned(),
        next: AtomicU64::new(0),
        turn: Mutex::new(()),
        etags: Mutex::new(vec![String::new(); usize::try_from(size.div_ceil(job.part))?]),
    };
    thread::scope(|scope| {
        let work = || worker(&upload);
        let workers: Vec<_> = (0..job.target.threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| "a thread panicked")?)
    })?;
    complete(&upload, &mut connection)?;
    Ok(Done { bytes: size, io: "page-cache" })
}

struct Upload<'a> {
    job: &'a PutJob,
    file: File,
    size: u64,
    id: String,
    next: AtomicU64,
    /// Who reads from the pipe.
    turn: Mutex<()>,
    etags: Mutex<Vec<String>>,
}

fn worker(upload: &Upload<'_>) -> Result<(), Failure> {
    let held = if upload.job.piped.is_some() { usize::try_from(upload.job.part)? } else { upload.job.target.buffer };
    let mut buffer = AlignedBuffer::new(held);
    let mut connection = None;
    loop {
        let turn = upload.job.piped.is_some().then(|| upload.turn.lock());
        let index = upload.next.fetch_add(1, Ordering::Relaxed);
        if index * upload.job.part >= upload.size {
            return Ok(());
        }
        if turn.is_some() {
            let length = upload.job.part.min(upload.size - index * upload.job.part);
            (&upload.file).read_exact(&mut buffer.as_mut()[..usize::try_from(length)?])?;
        }
        drop(turn);
        let connection = match &mut connection {
            Some(open) => open,
            closed => closed.insert(upload.job.target.endpoint.connect()?),
        };
        let etag = send_part(upload, connection, buffer.as_mut(), index)?;
        let mut etags = upload.etags.lock().map_err(|_| "a thread panicked")?;
        etags[usize::try_from(index)?] = etag;
    }
}

fn send_part(
    upload: &Upload<'_>,
    connection: &mut Connection,
    buffer: &mut [u8],
    index: u64,
) -> Result<String, Failure> {
    let target = &upload.job.target;
    let mut offset = index * upload.job.part;
    let end = upload.size.min(offset + upload.job.part);
    let query = format!("partNumber={}&uploadId={}", index + 1, upload.id);
    let head = target.signer.head("PUT", &target.path, &query, &target.endpoint.authority);
    connection.send(format!("{head}Content-Length: {}\r\n\r\n", end - offset).as_bytes())?;
    while offset < end {
        let wanted = buffer.len().min(usize::try_from(end - offset)?);
        let length = match upload.job.piped {
            Some(_) => wanted,
            None => pread(&upload.file, &mut buffer[..wanted], offset)?,
        };
        if length == 0 {
            return Err("the input became shorter".into());
        }
        connection.send(&buffer[..length])?;
        offset += length as u64;
    }
    let response = connection.read_head()?;
    connection.read_small(&response, 200)?;
    response.etag.ok_or_else(|| "a part without ETag".into())
}

fn complete(upload: &Upload<'_>, connection: &mut Connection) -> Result<(), Failure> {
    let mut body = String::from("<CompleteMultipartUpload>");
    let etags = upload.etags.lock().map_err(|_| "a thread panicked")?;
    for (index, etag) in etags.iter().enumerate() {
        let number = index + 1;
        write!(body, "<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>")?;
    }
    body.push_str("</CompleteMultipartUpload>");
    let query = format!("uploadId={}", upload.id);
    let answer = exchange(upload.job, connection, ("POST", &query), &body)?;
    match answer.contains("<Error>") {
        true => Err(answer.into()),
        false => Ok(()),
    }
}

/// One small request and its small answer; `line` is the method and the query.
fn exchange(job: &PutJob, connection: &mut Connection, line: (&str, &str), body: &str) -> Result<String, Failure> {
    let target = &job.target;
    let (method, query) = line;
    let head = target.signer.head(method, &target.path, query, &target.endpoint.authority);
    let length = body.len();
    connection.send(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes())?;
    let response = connection.read_head()?;
    connection.read_small(&response, 200)
}
