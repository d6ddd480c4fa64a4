//! Work on many items by several threads, outside of the runtime's.

/// What `make` makes of each item, in their order: each of so many threads takes items that follow each other.
///
/// # Errors
/// Fails with the first error that `make` has.
pub fn in_threads<T: Send, R: Send, E: Send>(
    mut items: Vec<T>,
    threads: usize,
    make: impl Fn(T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let each = items.len().div_ceil(threads.max(1));
    let mut parts = Vec::new();
    while !items.is_empty() {
        let rest = items.split_off(each.min(items.len()));
        parts.push(std::mem::replace(&mut items, rest));
    }
    if parts.len() < 2 {
        return parts.into_iter().flatten().map(make).collect();
    }
    let make = &make;
    std::thread::scope(|scope| {
        let parts: Vec<_> = parts
            .into_iter()
            .map(|part| scope.spawn(|| part.into_iter().map(make).collect::<Result<Vec<R>, _>>()))
            .collect();
        let mut made = Vec::new();
        for part in parts {
            made.extend(part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(made)
    })
}
