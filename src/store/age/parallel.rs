//! Bounded parallelism for work that blocks.

use std::sync::Mutex;

/// Threads that wait for the disk. With 16 the measured rate of durable writes is three times that of one; more add
/// nothing.
pub const DISK_THREADS: usize = 16;

/// Threads that compute: the cores there are.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

/// Applies `work` to every item on at most `threads` threads; results in the order of the input.
pub fn map<T: Send, R: Send>(items: Vec<T>, threads: usize, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let threads = threads.min(items.len());
    if threads <= 1 {
        return items.into_iter().map(work).collect();
    }
    let queue = Mutex::new(items.into_iter().enumerate());
    let take = || queue.lock().expect("taking an item cannot panic").next();
    let drain = || {
        let mut results = Vec::new();
        while let Some((index, item)) = take() {
            results.push((index, work(item)));
        }
        results
    };
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(drain)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, _>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().flat_map(join).collect()
    });
    results.sort_unstable_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_keep_the_order_of_the_input() {
        for count in [0, 1, 2, 1000] {
            let results = map((0..count).collect(), 16, |number: u32| number * 2);
            assert_eq!(results, (0..count).map(|number| number * 2).collect::<Vec<_>>());
        }
    }
}
