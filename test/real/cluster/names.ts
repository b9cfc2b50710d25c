/** Names and addresses inside a test cluster. */
export const NODE = 'node1'
/** Where pods look for the API server: the first address of the service range. */
export const SERVICE_IP = '10.0.0.1'
export const NODE_IP = '10.77.0.1'
/** Of the virtual machine, where that is the node. */
export const GUEST_IP = '10.77.0.2'
export const POD_RANGE = '10.88.0.0/24'
export const PAUSE_IMAGE = 'stoker.local/pause:1'
