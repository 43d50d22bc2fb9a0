//! Chance, as far as it does not come from the seed: hash maps of the standard library begin with what the system gives, and
//! so does tokio where it picks one of several. Here the system always gives the same.
#![allow(
    unsafe_code,
    reason = "the standard library has no other way to say where its randomness comes from"
)]

use std::ffi::c_uint;

/// In place of the C library's.
///
/// # Safety
/// As the C library's: there is room for `length` bytes at `buffer`.
#[unsafe(no_mangle)]
unsafe extern "C" fn getrandom(buffer: *mut u8, length: usize, _flags: c_uint) -> isize {
    for place in 0..length {
        // SAFETY: the caller says so.
        unsafe {
            buffer
                .add(place)
                .write((place as u8).wrapping_mul(151).wrapping_add(29));
        };
    }
    isize::try_from(length).unwrap_or(isize::MAX)
}
