//! Volumes and images by URI.
