//! Level 2: ops as data over tensors; compiled once for a role, replayed by a session, interpreted by the CPU.

pub mod step;
