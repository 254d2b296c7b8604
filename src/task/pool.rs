//! Memory of task cells: lists of free blocks a seat keeps, so that a task's cell is usually one that was just in use.
//!
//! Blocks are whole cache lines and start on one: a task that moves between workers moves as few lines as it has. A
//! block may be freed on another seat than it came from, or on no seat: all come from the global allocator with the
//! layout of their class.

use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};

use crate::sync;

/// A cache line.
const LINE: usize = 64;
/// Classes of 1 to 8 lines; larger cells go to the allocator.
const CLASSES: usize = 8;
/// What a seat keeps of each class at most: a burst of a thousand small tasks, and little memory. Nothing under the address
/// sanitizer (`docs/mutants.md`): it poisons what goes back to the allocator.
const KEPT_BYTES: usize = if cfg!(pirn_asan) { 0 } else { 256 * 1024 };

/// The free blocks of one seat.
#[derive(Default)]
pub(crate) struct Pool {
    classes: [Class; CLASSES],
}

struct Class {
    first: Cell<*mut Free>,
    len: Cell<usize>,
}

struct Free {
    next: *mut Free,
}

impl Default for Class {
    fn default() -> Self {
        Self { first: Cell::new(ptr::null_mut()), len: Cell::new(0) }
    }
}

// SAFETY: it owns its blocks and moves with its seat.
unsafe impl Send for Pool {}

/// The layout a cell is really allocated with.
const fn rounded(layout: Layout) -> Layout {
    let size = if layout.size() == 0 { LINE } else { layout.size().next_multiple_of(LINE) };
    let align = if layout.align() > LINE { layout.align() } else { LINE };
    match Layout::from_size_align(size, align) {
        Ok(layout) => layout,
        Err(_) => panic!("a future is larger than the address space"),
    }
}

/// The class of a rounded layout.
fn class(layout: Layout) -> Option<usize> {
    (layout.align() == LINE && layout.size() <= CLASSES * LINE).then(|| layout.size() / LINE - 1)
}

/// A block for a cell of this layout: from the pool if there is one and it has any.
pub(super) fn allocate(pool: Option<&Pool>, layout: Layout) -> NonNull<u8> {
    let layout = rounded(layout);
    if let (Some(pool), Some(class)) = (pool, class(layout)) {
        let class = &pool.classes[class];
        if let Some(first) = NonNull::new(class.first.get()) {
            // SAFETY: a block in the list is a `Free` that only this list knows.
            class.first.set(unsafe { first.as_ref() }.next);
            class.len.set(class.len.get() - 1);
            sync::freed(first.cast(), layout.size(), false);
            return first.cast();
        }
    }
    // SAFETY: the size is not zero.
    let block = unsafe { alloc::alloc::alloc(layout) };
    NonNull::new(block).unwrap_or_else(|| alloc::alloc::handle_alloc_error(layout))
}

/// Gives a block back.
///
/// # Safety
/// It came from `allocate` with the same layout and is not used any more.
pub(super) unsafe fn free(pool: Option<&Pool>, block: NonNull<u8>, layout: Layout) {
    let layout = rounded(layout);
    if let (Some(pool), Some(class)) = (pool, class(layout)) {
        let class = &pool.classes[class];
        if class.len.get() < KEPT_BYTES / layout.size() {
            let free = block.cast::<Free>();
            // SAFETY: the block is ours, aligned to a line and at least as large as one.
            unsafe { free.write(Free { next: class.first.get() }) };
            class.first.set(free.as_ptr());
            class.len.set(class.len.get() + 1);
            sync::freed(block, layout.size(), true);
            return;
        }
    }
    // Not of the pool any more.
    sync::freed(block, layout.size(), false);
    // SAFETY: the caller's promise; the layout is rounded as in `allocate`.
    unsafe { alloc::alloc::dealloc(block.as_ptr(), layout) };
}

impl Drop for Pool {
    fn drop(&mut self) {
        for (index, class) in self.classes.iter().enumerate() {
            let layout = Layout::from_size_align((index + 1) * LINE, LINE).expect("small");
            while let Some(first) = NonNull::new(class.first.get()) {
                // SAFETY: as in `allocate`.
                class.first.set(unsafe { first.as_ref() }.next);
                sync::freed(first.cast(), layout.size(), false);
                // SAFETY: it was allocated with the layout of its class.
                unsafe { alloc::alloc::dealloc(first.cast().as_ptr(), layout) };
            }
        }
    }
}
