//! A load generator for Redis-compatible servers whose figures can be trusted.
//!
//! # What it measures
//!
//! Every request has three moments: when it was *intended* to be sent, when it *was* sent, and when
//! its own reply had been read. From the first comes the **response time**, what a client that
//! arrives on schedule experiences; from the second the **service time**. In an open loop they
//! differ whenever the server (or this program) falls behind: a closed loop that only looks at
//! service time waits politely during a stall and then reports one slow request instead of
//! thousands (coordinated omission). In a closed loop the two are the same.
//!
//! # The map
//!
//! | module | what it is |
//! |---|---|
//! | [`plan`] | everything that defines a run; stored with its results |
//! | [`workload`] | which command next, on which key, with which value: pure, seeded |
//! | [`exec`] | threads, rings, connections, schedules: the only place that does I/O during a run |
//! | [`reply`] | RESP replies, sans-io |
//! | [`stats`] | histograms, intervals, counters, confidence intervals |
//! | [`verdict`] | whether a run's figures may be believed |
//! | [`report`] | tables, JSON, CSV, HdrHistogram files, the HTML page |
//! | [`server`] | questions to the server outside the measurement: INFO, its process's CPU time |
//! | [`live`] | what a run shows while it lasts |
//! | [`cli`] | arguments to a plan; which options contradict each other |
//! | [`subcommands`] | run, compat, compare, knee, check, selftest |

pub mod cli;
pub mod exec;
pub mod failure;
pub mod live;
pub mod plan;
pub mod reply;
pub mod report;
pub mod server;
pub mod stats;
pub mod subcommands;
pub mod verdict;
pub mod workload;
