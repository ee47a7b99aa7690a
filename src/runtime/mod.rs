//! The only place that knows glommio, io_uring, sockets, threads and clocks.

pub mod ring;
