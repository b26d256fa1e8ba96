#![doc = include_str!("../README.md")]
//!
//! # The files, in reading order
//! - `app`: [`ChannelsApp`], the endpoints; `cors`: which pages may read the answers; `rules`: [`Rules`], who may do what
//! - `settings`: [`Settings`], the configuration; `channel_settings`: what it says of channels; `unknown`: fields that it does not know
//! - `tokens`: what the tokens of clients say

mod app;
mod channel_settings;
mod cors;
mod rules;
mod settings;
mod tokens;
mod unknown;

pub use app::ChannelsApp;
pub use channel_settings::ChannelSettings;
pub use rules::Rules;
pub use settings::{Settings, SettingsError};
