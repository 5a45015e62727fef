//! Spawned tasks with an owner: stopped and awaited together, aborted at the latest when the owner goes.

use tokio::task::{JoinError, JoinSet};

use crate::error::{Error, ErrorKind, Result};

pub struct Tasks<T>(JoinSet<Result<T>>);

impl<T: Send + 'static> Tasks<T> {
    pub fn new() -> Self {
        Self(JoinSet::new())
    }

    pub fn spawn(&mut self, work: impl Future<Output = Result<T>> + Send + 'static) {
        self.0.spawn(work);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next task to end; `None` if none is left. A panic in a task is an error of the transfer (Y8).
    pub async fn next(&mut self) -> Option<Result<T>> {
        let ended = self.0.join_next().await?;
        Some(ended.unwrap_or_else(|error| Err(task_failed(&error))))
    }

    /// Stops all tasks and returns when the last one has ended.
    pub async fn stop(&mut self) {
        self.0.shutdown().await;
    }
}

fn task_failed(error: &JoinError) -> Error {
    if error.is_panic() { Error::new(ErrorKind::Internal, "a task panicked") } else { Error::cancelled() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_panic_is_an_error_of_its_own() {
        let mut tasks = Tasks::new();
        tasks.spawn(async { if true { panic!("on purpose") } else { Ok(()) } });
        assert_eq!(tasks.next().await.unwrap().unwrap_err().kind(), ErrorKind::Internal);
        assert!(tasks.next().await.is_none());
    }

    #[tokio::test]
    async fn stop_waits_until_nothing_is_held() {
        let held = Arc::new(());
        let mut tasks = Tasks::new();
        for _ in 0..10 {
            let held = held.clone();
            tasks.spawn(async move {
                let _held = held;
                std::future::pending::<Result<()>>().await
            });
        }
        tasks.stop().await;
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
