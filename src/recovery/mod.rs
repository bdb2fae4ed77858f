//! What keeps the picture moving when a source is lost. Pure: times come as arguments, bytes go to the caller.
