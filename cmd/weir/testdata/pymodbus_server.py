"""A Modbus slave made of pymodbus: python3 pymodbus_server.py tcp PORT | rtu DEVICE.

Units 1 and 2; holding registers 0..99 hold 1000 + address, input registers
2000 + address (and 230.1 as a float32 at 40, 41), coils and discrete inputs
are on at even addresses.
"""
import struct
import sys

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.server import StartSerialServer, StartTcpServer
from pymodbus.transaction import ModbusRtuFramer


def unit():
    inputs = [2000 + i for i in range(100)]
    inputs[40:42] = struct.unpack(">HH", struct.pack(">f", 230.1))
    return ModbusSlaveContext(
        di=ModbusSequentialDataBlock(0, [i % 2 == 0 for i in range(100)]),
        co=ModbusSequentialDataBlock(0, [i % 2 == 0 for i in range(100)]),
        hr=ModbusSequentialDataBlock(0, [1000 + i for i in range(100)]),
        ir=ModbusSequentialDataBlock(0, inputs),
        zero_mode=True,
    )


context = ModbusServerContext(slaves={1: unit(), 2: unit()}, single=False)
if sys.argv[1] == "tcp":
    StartTcpServer(context=context, address=("127.0.0.1", int(sys.argv[2])), allow_reuse_address=True)
else:
    StartSerialServer(context=context, framer=ModbusRtuFramer, port=sys.argv[2], baudrate=115200, parity="N", stopbits=1, timeout=0.05)
