//! Futures of filters, which bring their filter something.

use std::any::Any;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

/// A future of a filter, which ends with a `T` for the runner and brings something for the filter. That stays where the
/// future is until the filter is called with it.
pub(crate) trait Errand<T>: Send {
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T>;

    /// The `Option` of what it has brought.
    fn brought(self: Pin<&mut Self>) -> &mut dyn Any;
}

/// An errand on the heap: one allocation.
pub(crate) type BoxErrand<T> = Pin<Box<dyn Errand<T>>>;

pin_project! {
    /// The future, and what it has brought.
    pub(crate) struct Bringing<F, V> {
        #[pin]
        future: F,
        brought: Option<V>,
    }
}

impl<F, V> Bringing<F, V> {
    pub(crate) fn boxed<T>(future: F) -> BoxErrand<T>
    where
        F: Future<Output = (T, V)> + Send + 'static,
        V: Send + 'static,
    {
        let brought = None;
        Box::pin(Self { future, brought })
    }
}

impl<T, F, V> Errand<T> for Bringing<F, V>
where
    F: Future<Output = (T, V)> + Send,
    V: Send + 'static,
{
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let this = self.project();
        this.future.poll(cx).map(|(ended, brought)| {
            *this.brought = Some(brought);
            ended
        })
    }

    fn brought(self: Pin<&mut Self>) -> &mut dyn Any {
        self.project().brought
    }
}
