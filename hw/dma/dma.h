/*
 * The pair of 8237A DMA controllers of an AT board. Devices reach it through
 * machine_dma().
 */
#ifndef HW_DMA_DMA_H
#define HW_DMA_DMA_H

#include "hw/core/dev.h"

extern const struct dev_type dma_type;

#endif
