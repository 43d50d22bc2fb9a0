//! Whether a record that failed may have been stored all the same: librdkafka knows, its Rust wrapper does not ask.

use rdkafka::bindings::{rd_kafka_message_status, rd_kafka_msg_status_t};
use rdkafka::message::BorrowedMessage;

/// Whether the record certainly never reached a broker's log.
#[allow(unsafe_code, reason = "the wrapper has no call for this")]
pub(super) fn is_not_stored(message: &BorrowedMessage<'_>) -> bool {
    // SAFETY: the pointer is that of a message which librdkafka owns and which outlives the borrow; the call reads one of
    // its fields.
    let status = unsafe { rd_kafka_message_status(message.ptr()) };
    status == rd_kafka_msg_status_t::RD_KAFKA_MSG_STATUS_NOT_PERSISTED
}
