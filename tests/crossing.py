"""A frame on its way from one end of a channel to the other."""

from backlit_server.workers.channel import Channel, Frame


def crossing(channels: tuple[Channel, Channel], frame: Frame) -> Frame:
    one, other = channels
    one.send(frame)
    return other.receive()
