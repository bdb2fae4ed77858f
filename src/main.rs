//! The tunerd binary.

fn main() {}
