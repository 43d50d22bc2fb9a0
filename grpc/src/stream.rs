//! Writing to a stream of HTTP/2.

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Reason, SendStream};

/// Sends as the far end takes it, so that what it does not take waits where it was made.
///
/// # Errors
/// The far end takes no more.
pub async fn write(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    is_last: bool,
) -> Result<(), h2::Error> {
    if data.is_empty() {
        return stream.send_data(data, is_last);
    }
    while !data.is_empty() {
        stream.reserve_capacity(data.len());
        while stream.capacity() == 0 {
            match poll_fn(|cx| stream.poll_capacity(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
                None => return Err(Reason::CANCEL.into()),
            }
        }
        let part = data.split_to(stream.capacity().min(data.len()));
        stream.send_data(part, is_last && data.is_empty())?;
    }
    Ok(())
}
