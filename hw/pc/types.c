/*
 * Every device type there is, in start-up order. A new device adds a line here
 * and nothing else.
 */
#include "hw/pc/types.h"

#include "hw/acpi/ged.h"
#include "hw/acpi/cpuhp.h"
#include "hw/acpi/pcihp.h"
#include "hw/audio/ac97.h"
#include "hw/audio/hda.h"
#include "hw/audio/pcspk.h"
#include "hw/char/debug.h"
#include "hw/char/parallel.h"
#include "hw/char/uart.h"
#include "hw/disk/ahci.h"
#include "hw/disk/ata_bus.h"
#include "hw/disk/fdc.h"
#include "hw/disk/ide.h"
#include "hw/disk/nvme.h"
#include "hw/display/vga.h"
#include "hw/dma/dma.h"
#include "hw/flash/pflash.h"
#include "hw/input/i8042.h"
#include "hw/intc/ioapic.h"
#include "hw/intc/lapic.h"
#include "hw/intc/pic.h"
#include "hw/net/e1000.h"
#include "hw/net/ne2k.h"
#include "hw/pc/fwcfg.h"
#include "hw/pci/i440fx.h"
#include "hw/pci/ich9.h"
#include "hw/pci/mch.h"
#include "hw/pci/piix3.h"
#include "hw/pci/piix4_pm.h"
#include "hw/pci/root_port.h"
#include "hw/scsi/scsi_bus.h"
#include "hw/timer/hpet.h"
#include "hw/timer/i6300esb.h"
#include "hw/timer/pit.h"
#include "hw/timer/rtc.h"
#include "hw/usb/ehci.h"
#include "hw/usb/hid.h"
#include "hw/usb/hub.h"
#include "hw/usb/storage.h"
#include "hw/usb/uhci.h"
#include "hw/usb/xhci.h"
#include "hw/virtio/virtio_9p.h"
#include "hw/virtio/virtio_balloon.h"
#include "hw/virtio/virtio_blk.h"
#include "hw/virtio/virtio_input.h"
#include "hw/virtio/virtio_mmio.h"
#include "hw/virtio/virtio_net.h"
#include "hw/virtio/virtio_rng.h"
#include "hw/virtio/virtio_scsi.h"
#include "hw/virtio/virtio_serial.h"

const struct dev_type *const dev_types[] = {
	&i440fx_type,
	&mch_type,
	&piix3_type,
	&piix4_pm_type,
	&ich9_type,
	&ich9_smbus_type,
	&root_port_type,
	&pic_type,
	&lapic_type,
	&ioapic_type,
	&pit_type,
	&hpet_type,
	&rtc_type,
	&dma_type,
	&i8042_type,
	&fwcfg_type,
	&pflash_type,
	&ide_type,
	&ahci_type,
	&ide_hd_type,
	&ide_cd_type,
	&nvme_type,
	&vga_type,
	&e1000_type,
	&ne2k_pci_type,
	&virtio_blk_type,
	&virtio_net_type,
	&virtio_rng_type,
	&virtio_scsi_type,
	&virtio_serial_type,
	&virtio_9p_type,
	&virtio_balloon_type,
	&virtio_keyboard_type,
	&virtio_mouse_type,
	&virtio_tablet_type,
	&ged_type,
	&cpuhp_type, &pcihp_type,
	&virtio_mmio_type,
	&virtio_blk_bus_type,
	&virtio_net_bus_type,
	&virtio_rng_bus_type,
	&virtio_scsi_bus_type,
	&virtio_serial_bus_type,
	&virtio_9p_bus_type,
	&virtio_balloon_bus_type,
	&virtio_keyboard_bus_type,
	&virtio_mouse_bus_type,
	&virtio_tablet_bus_type,
	&virtconsole_type,
	&virtserialport_type,
	&scsi_hd_type,
	&scsi_cd_type,
	&scsi_disk_type,
	&uhci_type,
	&ehci_type,
	&ich9_ehci_type,
	&xhci_type,
	&nec_xhci_type,
	&usb_kbd_type,
	&usb_mouse_type,
	&usb_tablet_type,
	&usb_storage_type,
	&usb_hub_type,
	&ac97_type,
	&hda_type,
	&ich9_hda_type,
	&hda_output_type,
	&hda_duplex_type,
	&pcspk_type,
	&i6300esb_type,
	&ne2k_isa_type,
	&uart_type,
	&parallel_type,
	&fdc_type,
	&debugcon_type,
	&debug_exit_type,
	&pvpanic_type,
	&testdev_type,
	NULL
};
const unsigned n_dev_types = ARRAY_LEN(dev_types) - 1;
