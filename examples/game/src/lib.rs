#![doc = include_str!("../README.md")]

pub mod app;
pub mod arena;
mod page;
