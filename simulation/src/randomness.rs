//! Where random numbers come from in a simulated run: from its seed alone.
//!
//! What must stay true: nothing in a run draws from the machine. The hash maps of the standard
//! library, `rand` and `uuid` ask the C library's `getrandom`, which this program defines itself:
//! on a thread that [`feed`] was called on it answers from the seed, on every other one it asks the
//! kernel. One source cannot be reached: tokio counts the runtimes of a process and draws from that
//! count which waiter of a `watch` wakes first. So a process runs one seed and ends.

use std::cell::RefCell;
use std::ffi::{c_uint, c_void};

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

thread_local! {
    static FED: RefCell<Option<SmallRng>> = const { RefCell::new(None) };
}

/// Answers this thread's questions for randomness from the seed, from now on.
pub fn feed(seed: u64) {
    // Names the function, so that the linker cannot leave it out.
    std::hint::black_box(getrandom as *const ());
    FED.with(|fed| *fed.borrow_mut() = Some(SmallRng::seed_from_u64(seed)));
}

/// The C library's function of this name.
///
/// # Safety
/// `buffer` must be writable for `length` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, flags: c_uint) -> isize {
    let from_seed = FED.try_with(|fed| {
        let mut fed = fed.try_borrow_mut().ok()?;
        let rng = fed.as_mut()?;
        // SAFETY: the caller promises that the buffer is writable.
        rng.fill_bytes(unsafe { std::slice::from_raw_parts_mut(buffer.cast(), length) });
        Some(isize::try_from(length).unwrap_or(isize::MAX))
    });
    match from_seed {
        Ok(Some(filled)) => filled,
        // SAFETY: the arguments are passed on as they came.
        _ => unsafe { libc::syscall(libc::SYS_getrandom, buffer, length, flags) as isize },
    }
}
