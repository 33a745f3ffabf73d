//! Waiting for a future on the calling thread; native only, and only for those who want it: the library never does.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;

use crate::Context;

/// Runs a future to its end. While it is pending, the device is waited for with wgpu's blocking poll, so that no core
/// spins: a software adapter needs them all. Without a context the thread sleeps until the future wakes it.
///
/// ```
/// let answer = wgformer::blocking::block_on(None, async { 42 });
/// assert_eq!(answer, 42);
/// ```
pub fn block_on<'a, F: Future>(gpu: impl Into<Option<&'a Context>>, future: F) -> F::Output {
    let gpu = gpu.into();
    let sleeper = Arc::new(Sleeper { thread: std::thread::current(), woken: AtomicBool::new(false) });
    let waker = Waker::from(sleeper.clone());
    let mut future = std::pin::pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            return value;
        }
        if let Some(gpu) = gpu {
            // A lost device is the future's to notice.
            let _ = gpu.device().poll(wgpu::PollType::wait_indefinitely());
        }
        while !sleeper.woken.swap(false, Ordering::Acquire) {
            std::thread::park();
        }
    }
}

struct Sleeper {
    thread: Thread,
    woken: AtomicBool,
}

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Release);
        self.thread.unpark();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use super::*;

    #[test]
    fn sleeps_until_woken() {
        let mut polls = 0;
        let value = block_on(
            None,
            poll_fn(|cx| {
                polls += 1;
                if polls == 3 {
                    return Poll::Ready(7);
                }
                let waker = cx.waker().clone();
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(5));
                    waker.wake();
                });
                Poll::Pending
            }),
        );
        assert_eq!((value, polls), (7, 3));
    }
}
