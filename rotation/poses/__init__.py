"""Head poses: yaw, pitch and roll, estimated from landmarks and kept in files."""
