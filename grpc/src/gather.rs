//! Connections write what several calls have to say at once.
//!
//! tokio runs a task that another one wakes right after it. So a connection would be run behind each call that has something for
//! it, and write that alone: a system call for each message. Here it lets the other tasks that are ready go first.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A future that is polled behind all tasks that are ready when it is woken; but for the first times, as a task that soon ends,
/// such as one that waits for an answer, has nothing to gather.
#[derive(Debug)]
pub struct Behind<F> {
    task: F,
    first: u8,
    has_let_others: bool,
}

impl<F> Behind<F> {
    const AT_ONCE: u8 = 4;

    /// The task of a connection that many others have something for.
    pub fn others(task: F) -> Self {
        Self {
            task,
            first: Self::AT_ONCE,
            has_let_others: false,
        }
    }
}

impl<F: Future + Unpin> Future for Behind<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if self.first > 0 {
            self.first -= 1;
            return Pin::new(&mut self.task).poll(cx);
        }
        self.has_let_others = !self.has_let_others;
        if self.has_let_others {
            // A task that wakes itself goes to the end of the line.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.task).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::StreamExt;

    use super::*;

    #[tokio::test]
    async fn what_many_tasks_have_to_say_is_heard_at_once() {
        let (say, mut said) = tokio::sync::mpsc::channel(1000);
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&polls);
        let heard = futures_util::stream::poll_fn(move |cx| said.poll_recv(cx));
        let connection = heard.ready_chunks(1000).for_each(move |_: Vec<u32>| {
            counted.fetch_add(1, Ordering::Relaxed);
            std::future::ready(())
        });
        tokio::spawn(Behind::others(Box::pin(connection)));
        for number in 0..10 {
            say.send(number).await.unwrap();
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
        }
        polls.store(0, Ordering::Relaxed);
        let calls = (0..100).map(|number| {
            let say = say.clone();
            tokio::spawn(async move { say.send(number).await.unwrap() })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        drop(say);
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
        assert_eq!(polls.load(Ordering::Relaxed), 1);
    }
}
